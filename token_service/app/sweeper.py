"""What is over leaves the database: in short batches, with rests between them."""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from token_service.adapters.postgres.removal import LONG_AGO, Batch, Removal
from token_service.domain.errors import TokenServiceError

SMALLEST_BATCH = 300
FIRST_BATCH = 500
LARGEST_BATCH = 5_000
BATCH_SECONDS = 0.002
"""What a batch should take. Where the way to the database takes this long, batches of the smallest
size are the rule."""
ROWS_PER_SECOND = 65_000
"""The most that is removed, where the database is faster than that."""
REST = 0.5
"""The least rest after a batch, as a part of the time that it took."""
WHOLE_TIME = timedelta(minutes=15)
"""After this long the oldest rows are looked at again, which something kept or somebody held."""


class Sweeper:
    """Removes what is over, table by table, from where it came to the last time."""

    def __init__(self, removals: Sequence[Removal]) -> None:
        self._tables = [_Table(removal) for removal in removals]
        self._whole_at = LONG_AGO

    async def __call__(self, now: datetime) -> None:
        """Go on until nothing is left that is over at `now`, or another process turns out to be at
        it. Raises STORE_UNAVAILABLE."""
        if not timedelta() <= now - self._whole_at < WHOLE_TIME:
            for table in self._tables:
                table.look_back()
            self._whole_at = now
        failure: TokenServiceError | None = None
        for table in self._tables:
            try:
                if not await table.clear(now):
                    return
            except TokenServiceError as error:  # the other tables may be better off
                failure = failure or error
        if failure is not None:
            raise failure


class _Table:
    """How far one removal came, and how much it does at a time."""

    def __init__(self, removal: Removal) -> None:
        self._removal = removal
        self._reached = self._furthest = LONG_AGO
        self._from_start = True
        self._limit = FIRST_BATCH

    def look_back(self) -> None:
        """Begin with the oldest rows the next time."""
        self._from_start = True

    async def clear(self, now: datetime) -> bool:
        """Remove all that is over; False: another process is at it."""
        while True:
            limit, since = self._limit, LONG_AGO if self._from_start else self._reached
            # Where this batch fails, the next is smaller and goes on from the furthest place: to
            # look at older rows takes long while a long transaction keeps dead ones in the index.
            self._limit, self._from_start = max(limit // 2, SMALLEST_BATCH), False
            self._reached = self._furthest
            began = time.monotonic()
            done = await self._removal(now, limit, since)
            took = time.monotonic() - began
            if done is None:
                self._limit, self._from_start, self._reached = limit, since == LONG_AGO, since
                return False
            more = done.seen == limit
            self._limit = _next_limit(limit, took) if more else limit
            self._reached = _past(done, since) if more else done.reached
            self._furthest = max(self._furthest, self._reached)
            if not more:
                return True
            await asyncio.sleep(max(took * REST, done.removed / ROWS_PER_SECOND - took))


def _next_limit(limit: int, took: float) -> int:
    wanted = int(limit * BATCH_SECONDS / max(took, 1e-6))
    return min(max(wanted, limit // 2, SMALLEST_BATCH), limit * 2, LARGEST_BATCH)


def _past(done: Batch, since: datetime) -> datetime:
    """Where to go on. Rows may be over at the same time by the thousand; where none of a whole
    batch of them can go, the rest of them has to wait as well."""
    stuck = done.removed == 0 and done.reached == since
    return done.reached + timedelta(microseconds=1) if stuck else done.reached
