"""The requests of a benchmark, made before anything is measured."""

from dataclasses import dataclass
from pathlib import Path

from tests.bench import filling
from token_service.app.parts import Parts
from tokenservice.core import Facts
from tokenservice.v1 import token_service_pb2 as pb

IN_FLIGHT = 64
SMALL = 1_000
CHAINS = 200
"""Sessions 1 to CHAINS are exchanged by the loader; from there to SMALL they are revoked, and what
is above SMALL in the large table belongs to pgbench."""
REVOCATIONS = 100
"""In each round."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    calls: int
    exchanges: int
    sessions: int


def cold_requests(size: Size, parts: Parts, facts: Facts) -> dict[str, list[bytes]]:
    """Tokens that are new in each round."""
    made: dict[str, list[bytes]] = {}
    for number in range(size.rounds):
        for concurrency, count in ((IN_FLIGHT, size.calls), (1, size.calls // 8)):
            tokens = filling.fresh_jwts(parts, facts, count)
            made[f"cold{number}@{concurrency}"] = [validate(token) for token in tokens]
    return made


def revocations(size: Size, parts: Parts) -> dict[str, list[bytes]]:
    """Sessions to sign out, others in each round."""
    made: dict[str, list[bytes]] = {}
    for number in range(size.rounds):
        first = CHAINS + 1 + number * REVOCATIONS
        tokens = filling.session_tokens(parts, range(first, first + REVOCATIONS))
        made[f"revoke{number}"] = [
            pb.RevokeRequest(token=token).SerializeToString() for token in tokens
        ]
    return made


def validate(token: str) -> bytes:
    """A gateway's question."""
    request = pb.ValidateRequest(token=token, audience="orders", required_scopes=["orders.read"])
    return request.SerializeToString()


def write_down(folder: Path, name: str, requests: dict[str, list[bytes]]) -> dict[str, Path]:
    """One file per kind of request, a line each, in hexadecimal."""
    paths = {}
    for kind, messages in requests.items():
        paths[kind] = folder / f"{name}.{kind}"
        paths[kind].write_text("\n".join(message.hex() for message in messages))
    return paths
