"""Servers with databases of so many sessions, and the requests made for them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench import filling
from tests.bench.bulk import load
from tests.bench.requests import CHAINS, validate, write_down
from tests.support.api import basic
from tests.support.ports import fixed_port
from tests.support.servers import ServerProcess
from tests.support.world import World, seed
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.postgres.migrate import migrate
from token_service.app.parts import Parts
from tokenservice.core import Facts, parse_jwt
from tokenservice.v1 import token_service_pb2 as pb

Requests = dict[str, list[bytes]]


@dataclass(frozen=True, slots=True)
class Side:
    """A server with its database and the requests made for it."""

    world: World
    server: ServerProcess
    requests: dict[str, Path]
    mint_kid: str
    metrics: str
    environment: dict[str, str]
    """Of the server; another one on its database takes another `metrics_listen`."""

    def as_client(self, client_id: str) -> str:
        """The authorization header of one of the demo clients."""
        return basic(client_id, self.world.clients[client_id])

    @property
    def pid(self) -> int:
        """The process whose CPU time counts."""
        return self.server.process.pid

    def reply_sizes(self) -> dict[str, int]:
        """How large the service's replies are, in bytes: the echo's are as large."""
        return asyncio.run(filling.reply_sizes(self.world, self.server.address, self.requests))


def open_side(
    postgres: EmbeddedPostgres,
    redis_url: str,
    folder: Path,
    name: str,
    sessions: int,
    more: Callable[[Parts, Facts], Requests] = lambda _parts, _facts: {},
    *,
    owners: int = 0,
    workers: int = 1,
) -> Side:
    """A database with that many sessions, a server on it, and requests for it; `more` makes more
    of them, from the parts of a service and the facts of an access token. `owners` as in `load`.
    The caller ends the server."""
    dsn = postgres.create_database(name)
    migrate(dsn)
    empty = World(dsn, redis_url, SecretKeys.generate_text(), {}, "", "")
    world, requests, mint_kid = asyncio.run(_prepare(empty, sessions, more, owners))
    metrics = f"127.0.0.1:{fixed_port()}"
    environment = world.environment(
        workers=str(workers),
        allow_unsafe_durability="false",
        rate_scale="1000",
        max_unary_calls="5000",
        max_streams="5000",
        metrics_listen=metrics,
    )
    written = write_down(folder, name, requests)
    return Side(world, ServerProcess(environment), written, mint_kid, metrics, environment)


async def _prepare(
    empty: World, sessions: int, more: Callable[[Parts, Facts], Requests], owners: int
) -> tuple[World, Requests, str]:
    world = await seed(empty)
    parts = await Parts.open(world.settings(allow_unsafe_durability=False))
    try:
        await load(world.dsn, sessions, parts.mint.active().kid, owners=owners)
        access = await filling.access_tokens(world, parts)
        facts = parse_jwt(access["jwt"], parts.settings.issuer).facts
        requests = {
            "warm": [validate(access["jwt"])],
            "opaque": [validate(access["opaque"])],
            "exchange": [
                pb.ExchangeRequest(token=token).SerializeToString()
                for token in filling.session_tokens(parts, range(1, CHAINS + 1))
            ],
        }
        return world, requests | more(parts, facts), parts.mint.active().kid
    finally:
        await parts.close()
