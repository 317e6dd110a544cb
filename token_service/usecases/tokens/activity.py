"""Activity: pushes idle deadlines forward, gathered in memory and written in batches.

A session that is used stays: its latest use is written within a round of writing, and at most once
in a quarter of its idle lifetime (or in `interval`, where that is shorter). A use that comes
earlier is kept and written then.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from token_service.domain.clients.caller import Caller
from token_service.domain.kinds import Permission
from token_service.domain.ports import ActivityMark, ActivityMarks, Clock, SessionStore
from tokenservice.core.uses import RecentUses, interval_of

MAX_WAITING = 500_000
BATCH = 1_000


class ActivityRecorder:
    """Writes when sessions were last used. `interval` is in seconds.

    What another node has written is learned from `marks`, so that a session in use on many nodes
    is written by one of them.
    """

    def __init__(
        self, store: SessionStore, marks: ActivityMarks, clock: Clock, interval: float = 60.0
    ) -> None:
        self._store = store
        self._marks = marks
        self._clock = clock
        self._interval = interval
        self._uses = RecentUses(MAX_WAITING)
        self.touch = self._uses.note
        """Note that a request of a session was allowed, at a time in Unix seconds."""

    def __len__(self) -> int:
        """How many sessions are remembered: those to be written, and those written lately."""
        return len(self._uses)

    async def flush(self) -> int:
        """Write what is due. What a store failure leaves behind is kept for the next time."""
        now = self._clock.now()
        changed = 0
        while batch := self._uses.take(now.timestamp(), BATCH):
            try:
                changed += await self._write(batch, now)
            except BaseException:
                self._uses.give_back(batch)
                raise
        return changed

    async def _write(self, batch: Mapping[str, float], now: datetime) -> int:
        marks = await self._marks.read([UUID(session_id) for session_id in batch])
        mine: dict[UUID, float] = {}
        waiting: list[tuple[str, float, ActivityMark]] = []
        for session_id, at in batch.items():
            mark = marks.get(UUID(session_id))
            if mark is None or not now.timestamp() < mark.until <= now.timestamp() + self._interval:
                mine[UUID(session_id)] = at
            else:
                waiting.append((session_id, at, mark))
        changed = await self._record(mine, now) if mine else 0
        for session_id, at, mark in waiting:
            if at > mark.at:
                self._uses.postpone(session_id, at, mark.until)
            else:
                self._uses.rest(session_id, mark.until)
        return changed

    async def _record(self, mine: Mapping[UUID, float], now: datetime) -> int:
        seen = [(session_id, datetime.fromtimestamp(at, UTC)) for session_id, at in mine.items()]
        recorded = await self._store.record_activity(seen, now)
        written: dict[UUID, ActivityMark] = {}
        for session_id, at in mine.items():
            idle = recorded.idle.get(session_id)
            if idle is None:  # it is over: nothing is written of it any more
                self._uses.rest(str(session_id), now.timestamp() + self._interval)
                continue
            until = at + interval_of(idle.total_seconds(), self._interval)
            written[session_id] = ActivityMark(at, until)
            self._uses.rest(str(session_id), until)
        await self._marks.write(written, now.timestamp())
        return recorded.changed


class ReportActivity:
    """Takes over the activity that local validators saw."""

    def __init__(self, store: SessionStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(
        self, caller: Caller, seen: Sequence[tuple[UUID, datetime]], interval: timedelta
    ) -> dict[UUID, timedelta]:
        """Record reported activity for sessions with an audience that the caller protects; what
        is not live, not its business or in the future is ignored or clamped.

        The caller reports each session once in `interval`. Returned are the shorter intervals of
        sessions for which that is too seldom.
        """
        caller.require(Permission.TRUST_WATCH)
        audiences = tuple(caller.policy.protects_audiences)
        if not seen or not audiences:
            return {}
        recorded = await self._store.record_activity(seen, self._clock.now(), audiences)
        longest = interval.total_seconds()
        wanted = {
            session_id: timedelta(seconds=interval_of(idle.total_seconds(), longest))
            for session_id, idle in recorded.idle.items()
        }
        return {session_id: own for session_id, own in wanted.items() if own < interval}
