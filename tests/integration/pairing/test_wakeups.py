"""Watchers of pairings are woken by what is told, and look by themselves where nothing is heard."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from tests.conftest import Stores
from tests.support.waiting import PATIENCE, patience, until
from token_service.adapters.postgres.connecting import Source
from token_service.adapters.postgres.pairing.sql import CHANNEL
from token_service.adapters.postgres.pairing.wakeups import PairingWakeups
from token_service.adapters.postgres.pool import Database

AN_HOUR = 3600.0
_OTHER = "elsewhere"


@pytest.fixture
def elsewhere(embedded: Stores) -> Iterator[Source]:
    """Another database of the server: a connection to it hears nothing of ours."""
    yield Source(text=embedded.postgres.create_database(_OTHER))
    embedded.postgres.drop_database(_OTHER)


@asynccontextmanager
async def listening(dsn: str, direct: Source | None = None) -> AsyncIterator[PairingWakeups]:
    database = await Database.open(dsn, direct=direct, size=2)
    wakeups = PairingWakeups(database)
    wakeups.start()
    try:
        yield wakeups
    finally:
        await wakeups.stop()
        await database.close()


async def test_a_watcher_sleeps_until_it_is_told(dsn: str) -> None:
    pairing_id = uuid4()
    async with listening(dsn) as wakeups:
        await until(lambda: wakeups.connected)
        teller = await Database.open(dsn, size=1)
        with wakeups.watch(pairing_id) as watcher:
            await watcher.wait(PATIENCE)  # all look once, within a second, when it was connected
            waiting = asyncio.create_task(watcher.wait(AN_HOUR))
            await teller.execute("SELECT pg_notify($1, $2)", CHANNEL, str(uuid4()))
            await asyncio.sleep(1.5)  # longer than between two looks of a watcher without wake-ups
            assert not waiting.done()
            await teller.execute("SELECT pg_notify($1, $2)", CHANNEL, str(pairing_id))
            async with patience():
                await waiting
        await teller.close()


async def test_one_that_hears_nothing_is_not_believed(dsn: str, elsewhere: Source) -> None:
    async with listening(dsn, elsewhere) as wakeups:
        with wakeups.watch(uuid4()) as watcher:
            async with patience():
                for _ in range(3):
                    await watcher.wait(AN_HOUR)
        assert not wakeups.connected
