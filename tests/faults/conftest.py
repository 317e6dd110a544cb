"""What the tests here share, because it is slow to start: each test brings its own users."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.faults.breakable import Breakable
from tests.support.callers import Callers
from tests.support.fixtures import SEEDED
from tests.support.servers import ServerProcess
from tests.support.world import World, seed
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.embedded import EmbeddedPostgres, EmbeddedValkey
from token_service.adapters.postgres.migrate import migrate

if TYPE_CHECKING:
    from tests.conftest import Stores

SHARED = "shared"


@pytest.fixture(scope="session")
def shared_world(seeded: World, embedded: "Stores") -> Iterator[World]:
    """The seeded data in a database that they share."""
    dsn = embedded.postgres.create_database(SHARED, template=SEEDED)
    yield seeded.moved_to(dsn, embedded.valkey.url)
    embedded.postgres.drop_database(SHARED)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def nodes(shared_world: World) -> AsyncIterator[tuple[Callers, Callers]]:
    """Callers of two server processes on the same stores."""
    servers: list[ServerProcess] = []
    try:
        servers.extend(ServerProcess(shared_world.environment()) for _ in range(2))
        one, two = (Callers(shared_world, server.address) for server in servers)
        async with one, two:
            yield one, two
    finally:
        for server in servers:
            server.kill()
            sys.stdout.writelines(server.output[-40:])


@pytest.fixture(scope="session")
def stores(open_dir: Path) -> Iterator[tuple[EmbeddedPostgres, EmbeddedValkey]]:
    """Started for the tests here that stop them."""
    with (
        EmbeddedPostgres(open_dir / "breakable", fsync=False) as postgres,
        EmbeddedValkey(open_dir / "breakable-valkey") as valkey,
    ):
        yield postgres, valkey


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def breakable(stores: tuple[EmbeddedPostgres, EmbeddedValkey]) -> Breakable:
    """A seeded world on them."""
    postgres, valkey = stores
    dsn = postgres.create_database("breakable")
    await asyncio.to_thread(migrate, dsn)
    empty = World(dsn, valkey.url, SecretKeys.generate_text(), {}, "", "")
    return Breakable(postgres, valkey, await seed(empty))
