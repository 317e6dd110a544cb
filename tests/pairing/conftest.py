"""Two server processes that the tests here share: each test brings its own users."""

import sys
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.callers import Callers
from tests.support.fixtures import SEEDED
from tests.support.servers import ServerProcess
from tests.support.world import World

if TYPE_CHECKING:
    from tests.conftest import Stores

SHARED = "shared_pairing"


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
        environment = shared_world.environment(rate_scale="10")
        servers.extend(ServerProcess(environment) for _ in range(2))
        one, two = (Callers(shared_world, server.address) for server in servers)
        async with one, two:
            yield one, two
    finally:
        for server in servers:
            server.kill()
            sys.stdout.writelines(server.output[-40:])
