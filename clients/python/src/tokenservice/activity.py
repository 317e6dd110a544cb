"""Activity of sessions, gathered from local decisions and reported in batches.

Sliding expiry needs to hear of it (TrustService.ReportActivity); it is best effort, so what
cannot be reported for long is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final

from grpc import StatusCode

from tokenservice.backoff import Pauses
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

    ``report`` makes the call; it raises TokenServiceError. Randomness ([0, 1)) and sleep are given
    by tests.
    """

    def __init__(
        self,
        log: ActivityLog,
        clock: AnchoredClock,
        report: Callable[[dict[str, float]], Awaitable[None]],
        *,
        every: float = REPORT_SECONDS,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._activity = log
        self._clock = clock
        self._report = report
        self._every = every
        self._random = random
        self._sleep = sleep
        self._pauses = Pauses(random)

    async def run(self) -> None:
        """Report until cancelled."""
        longer = 0.0
        while True:
            # Spread, so that a thousand gateways do not report in step.
            await self._sleep(self._every * (0.5 + self._random()) + longer)
            failure = await self.flush()
            longer = self._pauses.after(failure) if failure is not None else 0.0
            if failure is None:
                self._pauses.over()

    async def flush(self) -> TokenServiceError | None:
        """Report all there is, up to the first call that fails, which is returned.

        What was not taken is kept for the next time, within bounds.
        """
        while batch := self._activity.take():
            settled = False
            try:
                await self._report(batch)
                settled = True
            except TokenServiceError as error:
                settled = error.code is StatusCode.INVALID_ARGUMENT  # it would be refused again
                self._log_failure(error)
                if not settled:
                    return error
            finally:
                if not settled:
                    self._activity.give_back(batch, self._clock.now() - KEEP_SECONDS)
        return None

    def _log_failure(self, error: TokenServiceError) -> None:
        first = not self._pauses.failures and not isinstance(error, Unreachable)
        _log.log(logging.WARNING if first else logging.DEBUG, "activity was not taken: %s", error)
