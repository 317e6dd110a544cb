"""The beat: a commit each second, by which a primary shows that it still is one.

With synchronous replication a server that was succeeded cannot commit any more. What it says of
the log then proves nothing later than the last beat. All nodes share the beats: whoever reads
makes one, unless another did lately or is at it.
"""

from __future__ import annotations

import asyncio
from contextvars import Context
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from token_service.adapters.postgres.failures import cause_of
from token_service.adapters.postgres.fencing import ON_KNOWN_TIMELINE
from token_service.adapters.postgres.replication import SYNCHRONOUS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import asyncpg
    from asyncpg import Record

# Nobody waits for another's beat, which may wait for a standby. A server that succeeded the one of
# the last beat makes none before that was looked at: it would hide how that one replicated.
_BEAT = f"""
WITH due AS (
    SELECT FROM trust_beat b, trust_head h
    WHERE (b.beaten_at <= clock_timestamp() - $1::interval OR b.beaten_at > clock_timestamp())
      AND {ON_KNOWN_TIMELINE}
    FOR NO KEY UPDATE OF b SKIP LOCKED
)
UPDATE trust_beat
SET beat = beat + 1, beaten_at = clock_timestamp(), synchronous = {SYNCHRONOUS}
FROM due
"""  # noqa: S608 - constants


LATE = 4
"""Intervals without a beat after which that is reported."""

_log = structlog.get_logger(__name__)


class TrustBeat:
    """Beats over a connection of its own, which may hang. Times are in seconds: a beat is due
    `interval` after the last one and given up after `timeout`; `boot` is the local clock that also
    runs during suspend. `beaten` is called after each statement that succeeded."""

    def __init__(
        self,
        connect: Callable[[], Awaitable[asyncpg.Connection[Record]]],
        *,
        interval: float,
        timeout: float,
        boot: Callable[[], float],
        beaten: Callable[[], None],
    ) -> None:
        self._connect = connect
        self._interval = interval
        self._timeout = timeout
        self._boot = boot
        self._beaten = beaten
        self._conn: asyncpg.Connection[Record] | None = None
        self._task: asyncio.Task[None] | None = None
        self._last = float("-inf")
        self._problem = ""
        self.late = False
        """Whether beats are missing: no node can commit, or another one's beat does not end."""

    def saw(self, at_boot: float) -> None:
        """A reading shows that the last beat was at `at_boot`, by the local clock."""
        self._last = at_boot
        late, age = self.age() > LATE * self._interval, round(self.age(), 1)
        if late and not self.late:
            cause = self._problem or "a beat does not end"
            _log.warning("trust_beat_late", seconds=age, cause=cause)
        elif self.late and not late:
            _log.info("trust_beat_back")
        self.late = late

    def age(self) -> float:
        """Seconds since the last beat that is known here."""
        return self._boot() - self._last

    def begin(self) -> bool:
        """Make a beat if one is due; whether one is under way."""
        if self._task is None and self.age() >= self._interval:
            # In a context of its own: no caller's deadline ends it.
            self._task = asyncio.create_task(self._beat(), name="trust-beat", context=Context())
            self._task.add_done_callback(self._done)
        return self._task is not None

    async def attempt(self, patience: float) -> None:
        """Make a beat if one is due, and wait for it for `patience` seconds at the most."""
        if self.begin() and self._task is not None:
            await asyncio.wait([self._task], timeout=patience)

    async def stop(self) -> None:
        """Close the connection, or drop it where a beat is under way."""
        if (task := self._task) is not None:
            task.cancel()
            await asyncio.wait([task])
            self._drop()
        elif self._conn is not None:
            await self._conn.close(timeout=self._timeout)

    def _drop(self) -> None:
        """What waits for a standby goes on without us, and is not to be waited for."""
        if self._conn is not None:
            self._conn.terminate()

    async def _beat(self) -> None:
        interval = timedelta(seconds=self._interval)
        try:
            conn = self._conn
            if conn is None or conn.is_closed():
                async with asyncio.timeout(self._timeout):
                    conn = self._conn = await self._connect()
            await conn.execute(_BEAT, interval, timeout=self._timeout)
        except Exception as error:  # noqa: BLE001 - readings show that beats are missing
            self._problem = str(cause_of(error))
            self._drop()
            return
        self._problem = ""
        self._beaten()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()
