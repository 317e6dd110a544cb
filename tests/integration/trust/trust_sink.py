"""A trust state that a follower feeds, and ways to change the log."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.integration.postgres_world import NOW, World
from tests.support.waiting import patience
from token_service.adapters.postgres.trust import log as trust
from token_service.adapters.postgres.trust.follower import TrustFollower
from token_service.domain.kinds import RevocationReason, TrustEffect, TrustEntryKind
from token_service.domain.trust.reading import TrustReading
from tokenservice.core import TrustState


class Sink:
    """Keeps a trust state from readings, as a node does, and the readings to look at."""

    def __init__(self) -> None:
        self.state = TrustState()
        self.acknowledged = 0
        self.readings: list[TrustReading] = []
        self.refuse: Callable[[TrustReading], bool] = lambda _: False
        self._changed = asyncio.Event()

    async def apply(self, reading: TrustReading) -> None:
        if self.refuse(reading):
            raise RuntimeError("not now")
        self.readings.append(reading)
        if reading.epoch != self.state.epoch:
            self.state.apply_snapshot(
                reading.epoch, "iss", reading.revision, reading.db_time, (), reading.entries
            )
        else:
            self.state.apply_delta(
                reading.epoch,
                reading.since_revision,
                reading.revision,
                reading.db_time,
                reading.entries,
            )
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with patience():
            while not condition():
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def following(world: World, sink: Sink, **options: Any) -> AsyncIterator[TrustFollower]:
    follower = TrustFollower(world.database, sink, **options)
    follower.start()
    try:
        yield follower
    finally:
        await follower.stop()


async def add(world: World, *ids: str, **bumps: Any) -> int:
    """Entries for tokens."""
    new = [
        trust.NewEntry(
            TrustEntryKind.TOKEN, one, "", TrustEffect.REVOKE, RevocationReason.COMPROMISE
        )
        for one in ids
    ]
    async with world.database.transaction() as conn:
        return await trust.append(conn, new, now=NOW, **bumps)


async def add_silently(world: World, name: str) -> None:
    """An entry whose NOTIFY got lost."""
    await world.database.execute(
        """WITH head AS (UPDATE trust_head SET revision = revision + 1 RETURNING revision)
           INSERT INTO trust_log SELECT revision, 1, $1, '', 1, 2, $2 FROM head""",
        name,
        NOW,
    )
