"""Activity of sessions, gathered from local decisions and reported in batches.

Sliding expiry needs to hear of it (TrustService.ReportActivity); it is best effort, so what
cannot be reported for long is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from tokenservice.core.limits import MAX_ACTIVITIES
from tokenservice.errors import TokenServiceError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tokenservice.core import AnchoredClock

MAX_BATCH: Final = MAX_ACTIVITIES
REPORT_SECONDS: Final = 10.0
KEEP_SECONDS: Final = 300.0
"""How long activity waits for a server that cannot be reached."""

_log = logging.getLogger("tokenservice.activity")


class ActivityLog:
    """When sessions were last active, each told at most once per ``interval`` seconds.

    Times are Unix seconds of the server's clock. At most ``max_sessions`` wait to be reported and
    twice that many are remembered; beyond it, activity is not taken note of. Any thread may call
    ``touch``; one task takes and gives back.
    """

    def __init__(self, interval: float = 60.0, max_sessions: int = 100_000) -> None:
        """Raise ValueError for an interval or a number that is not positive."""
        if not interval > 0 or max_sessions < 1:
            raise ValueError("interval and max_sessions must be positive")
        self.interval = interval
        self._max = max_sessions
        self._pending: dict[str, float] = {}
        # Two generations, so that forgetting costs nothing: one interval each.
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}
        self._turned_at = 0.0

    def __len__(self) -> int:
        return len(self._pending)

    def touch(self, session_id: str, now: float) -> None:
        """Note that a token of the session was accepted."""
        if not now - self._turned_at < self.interval or len(self._young) >= self._max:
            self._turn(now)
        if self._last(session_id) > now - self.interval:
            return
        if len(self._pending) < self._max:
            self._young[session_id] = now
            self._pending[session_id] = now

    def knows(self, session_id: str) -> bool:
        """Whether the session was active here in the last interval or so."""
        return session_id in self._young or session_id in self._old

    def take(self) -> dict[str, float]:
        """Take the next batch to report: sessions and when they were last active."""
        pending = self._pending
        batch: dict[str, float] = {}
        while pending and len(batch) < MAX_BATCH:
            session_id, at = pending.popitem()
            batch[session_id] = at
        return batch

    def give_back(self, batch: dict[str, float], oldest: float) -> None:
        """Keep a batch that could not be reported for another try, but for what is older."""
        for session_id, at in batch.items():
            if at >= oldest and len(self._pending) < self._max:
                self._pending.setdefault(session_id, at)

    def _last(self, session_id: str) -> float:
        found = self._young.get(session_id)
        return self._old.get(session_id, 0.0) if found is None else found

    def _turn(self, now: float) -> None:
        self._old = self._young
        self._young = {}
        self._turned_at = now


class ActivityReporter:
    """Reports what a log gathers, every ten seconds or so, and once more at the end.

    ``report`` makes the call; it raises TokenServiceError.
    """

    def __init__(
        self,
        log: ActivityLog,
        clock: AnchoredClock,
        report: Callable[[dict[str, float]], Awaitable[None]],
        *,
        every: float = REPORT_SECONDS,
    ) -> None:
        self._activity = log
        self._clock = clock
        self._report = report
        self._every = every

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            # Spread, so that a thousand gateways do not report in step.
            await asyncio.sleep(self._every * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            await self.flush()

    async def flush(self) -> None:
        """Report all there is; what nobody took is kept for the next time, within bounds."""
        while batch := self._activity.take():
            reported = False
            try:
                await self._report(batch)
                reported = True
            except Unreachable:
                return
            except TokenServiceError as error:
                reported = True  # it would be refused again
                _log.warning("activity was not taken: %s", error)
            finally:
                if not reported:
                    self._activity.give_back(batch, self._clock.now() - KEEP_SECONDS)
