"""Fingerprints by which a session's row recognises the exchange that made its generation.

A row keeps two: that of this version, and that of the previous one, for nodes that still run it
during an upgrade. Either match counts. Both cover the token's own generation, so that one which an
older node left behind matches nothing that comes later.
"""

import hashlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from uuid import UUID


class Purpose(StrEnum):
    """What moved a session one generation on."""

    EXCHANGE = "exchange"
    REAUTHENTICATE = "reauthenticate"


def fingerprint(
    purpose: Purpose, exchange_id: bytes, lookup_id: UUID, generation: int, client_id: str
) -> bytes | None:
    """SHA-256 of the purpose, the exchange_id, the token and the client; None without an
    exchange_id.

    Audiences and scopes are not part of it: calls that ask for different ones with the same id
    are one exchange. Device and address are not either, since they change between retries.
    """
    if not exchange_id:
        return None
    return _digest(
        b"tokenservice exchange v2\0",
        (purpose.encode(), exchange_id, *_token(lookup_id, generation), client_id.encode()),
    )


def former_fingerprint(
    purpose: Purpose,
    exchange_id: bytes,
    lookup_id: UUID,
    generation: int,
    client_id: str,
    *,
    audiences: Sequence[str],
    scopes: Sequence[str],
) -> bytes | None:
    """The fingerprint of the previous version, which covers the audience and scope sets too."""
    if not exchange_id:
        return None
    return _digest(
        b"tokenservice exchange v1\0",
        (
            purpose.encode(),
            exchange_id,
            *_token(lookup_id, generation),
            client_id.encode(),
            "\0".join(sorted(set(audiences))).encode(),
            "\0".join(sorted(set(scopes))).encode(),
        ),
    )


def _token(lookup_id: UUID, generation: int) -> tuple[bytes, bytes]:
    return lookup_id.bytes, generation.to_bytes(4, "big")


def _digest(version: bytes, fields: Iterable[bytes]) -> bytes:
    digest = hashlib.sha256(version)
    for part in fields:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()
