"""Activity: pushes idle deadlines forward, gathered in memory and written in batches."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from token_service.domain.caller import Caller
from token_service.domain.kinds import Permission
from token_service.domain.ports import ActivityMarker, Clock, SessionStore

MAX_PENDING = 100_000
BATCH = 1_000


class ActivityRecorder:
    """Remembers which sessions were used, at most once per `interval` seconds each."""

    def __init__(
        self, store: SessionStore, marker: ActivityMarker, clock: Clock, interval: float = 60.0
    ) -> None:
        self._store = store
        self._marker = marker
        self._clock = clock
        self._interval = interval
        self._pending: dict[str, float] = {}
        self._written: dict[str, float] = {}

    def __len__(self) -> int:
        """How many sessions are remembered: those to be written, and those written lately."""
        return len(self._pending) + len(self._written)

    def touch(self, session_id: str, at: float) -> None:
        """A request of this session was allowed at `at` (Unix seconds)."""
        if session_id in self._pending or at < self._written.get(session_id, 0.0):
            return
        if len(self._pending) < MAX_PENDING:
            self._pending[session_id] = at

    async def flush(self) -> int:
        """Write what is pending. What a store failure leaves behind is kept for the next time."""
        now = self._clock.now()
        horizon = now.timestamp()
        self._written = {key: until for key, until in self._written.items() if until > horizon}
        changed = 0
        while self._pending:
            batch = dict(list(self._pending.items())[:BATCH])
            mine = await self._marker.unmarked([UUID(key) for key in batch])
            seen = [(key, datetime.fromtimestamp(batch[str(key)], UTC)) for key in mine]
            if seen:
                changed += await self._store.record_activity(seen, now)
            for key, at in batch.items():
                self._pending.pop(key, None)
                self._written[key] = at + self._interval
        return changed


class ReportActivity:
    """Takes over the activity that local validators saw."""

    def __init__(self, store: SessionStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def __call__(self, caller: Caller, seen: Sequence[tuple[UUID, datetime]]) -> None:
        """Record reported activity for sessions with an audience that the caller protects; what
        is not live, not its business or in the future is ignored or clamped."""
        caller.require(Permission.TRUST_WATCH)
        audiences = tuple(caller.policy.protects_audiences)
        if seen and audiences:
            await self._store.record_activity(seen, self._clock.now(), audiences)
