"""Two nodes, and the clients that they share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.integration.postgres_world import (
    World,
    make_world,
)
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.adapters.postgres.pool import Database


@pytest.fixture
async def databases(dsn: str) -> AsyncIterator[list[Database]]:
    """Two nodes."""
    async with AsyncExitStack() as stack:
        nodes = [await Database.open(dsn, size=8, call_timeout=30) for _ in range(2)]
        for node in nodes:
            stack.push_async_callback(node.close)
        yield nodes


@pytest.fixture
async def world(databases: list[Database]) -> World:
    return await make_world(databases[0])


@pytest.fixture
def clients(world: World) -> ClientStore:
    return ClientStore(world.database)
