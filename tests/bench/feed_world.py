"""The database, the servers and the sessions with which the trust feed is measured."""

from dataclasses import dataclass
from pathlib import Path

from tests.bench import filling
from tests.bench.bulk import load
from tests.bench.requests import write_down
from tests.support.api import basic
from tests.support.servers import ServerProcess
from tests.support.world import World, seed
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.app.parts import Parts
from tokenservice.v1 import token_service_pb2 as pb

PROCESSES = 10
EACH = 10
"""Watchers in each process."""
RATE = 20
"""Revocations a second."""
CALLS = 20
"""Revocations in a round."""
BURST = 1_000


@dataclass(frozen=True, slots=True)
class FeedSize:
    """How much is measured."""

    rounds: int
    bursts: int
    idle: int
    idle_seconds: float
    entries: int

    @property
    def sessions(self) -> int:
        """That are revoked in the end."""
        return 2 * self.rounds * CALLS + self.bursts * BURST


FULL = FeedSize(rounds=10, bursts=2, idle=2_000, idle_seconds=8.0, entries=100_000)
QUICK = FeedSize(rounds=2, bursts=1, idle=100, idle_seconds=2.0, entries=10_000)


@dataclass(frozen=True, slots=True)
class FeedWorld:
    """`requests` holds one Revoke for each session, a line each."""

    world: World
    requests: Path

    def as_client(self, client_id: str) -> str:
        """The authorization header of one of the demo clients."""
        return basic(client_id, self.world.clients[client_id])

    def server(self) -> ServerProcess:
        """A server with no limits in the way."""
        return ServerProcess(
            self.world.environment(
                allow_unsafe_durability="false",
                rate_scale="1000",
                max_unary_calls="5000",
                max_streams="5000",
            )
        )


async def prepare(dsn: str, redis_url: str, folder: Path, size: FeedSize) -> FeedWorld:
    """Fill a migrated database."""
    world = await seed(World(dsn, redis_url, SecretKeys.generate_text(), {}, "", ""))
    parts = await Parts.open(world.settings(allow_unsafe_durability=False))
    try:
        await load(dsn, size.sessions, parts.mint.active().kid)
        tokens = filling.session_tokens(parts, range(1, size.sessions + 1))
        revoke = [pb.RevokeRequest(token=token).SerializeToString() for token in tokens]
    finally:
        await parts.close()
    return FeedWorld(world, write_down(folder, "feed", {"revoke": revoke})["revoke"])
