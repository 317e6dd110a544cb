"""The store of revocations, on the `world` of each module."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.postgres_world import World
from token_service.adapters.postgres.trust.revocations import RevocationStore


@pytest.fixture
async def revocations(world: World) -> AsyncIterator[RevocationStore]:
    store = RevocationStore(world.database)
    yield store
    await store.close()
