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

from tokenservice._backoff import Pauses
from tokenservice._errors import TokenServiceError, Unreachable
from tokenservice.core.limits import MAX_ACTIVITIES
from tokenservice.core.uses import RecentUses

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tokenservice.core import AnchoredClock

MAX_BATCH: Final = MAX_ACTIVITIES
REPORT_SECONDS: Final = 10.0
SAMPLE_SECONDS: Final = 5.0
"""So often is the use of a token that is known already taken note of."""

KEEP_SECONDS: Final = 300.0
"""How long activity waits for a server that cannot be reached."""

_log = logging.getLogger("tokenservice.activity")


class ActivityLog:
    """When sessions were last active, each told at most once per ``interval`` seconds.

    Where a session's idle lifetime is short, the service asks for it more often. Times are Unix
    seconds of the server's clock. At most ``max_sessions`` wait to be reported; beyond it,
    activity is not taken note of. Any thread may call ``touch``; one task takes and settles.
    """

    def __init__(self, interval: float = 60.0, max_sessions: int = 100_000) -> None:
        """Raise ValueError for an interval or a number that is not positive."""
        if not interval > 0 or max_sessions < 1:
            raise ValueError("interval and max_sessions must be positive")
        self.interval = interval
        self.sample = min(interval, SAMPLE_SECONDS)
        self._uses = RecentUses(max_sessions)
        self.touch = self._uses.note
        """Note that a token of a session was accepted, at a time."""

    def __len__(self) -> int:
        return self._uses.waiting

    def knows(self, session_id: str) -> bool:
        """Whether the session was active here in the last interval or so."""
        return session_id in self._uses

    def take(self, now: float) -> dict[str, float]:
        """Take the next batch to report: sessions and when they were last active."""
        return self._uses.take(now, MAX_BATCH)

    def reported(self, batch: Mapping[str, float], shorter: Mapping[str, float]) -> None:
        """The batch was taken over; ``shorter`` has the intervals of sessions that are to be told
        of more often, in seconds."""
        for session_id, at in batch.items():
            interval = min(self.interval, shorter.get(session_id, self.interval))
            self._uses.rest(session_id, at + interval)

    def give_back(self, batch: Mapping[str, float], oldest: float) -> None:
        """Keep a batch that could not be reported for another try, but for what is older."""
        self._uses.give_back(batch, oldest)


class ActivityReporter:
    """Reports what a log gathers, every ten seconds or so, and once more at the end.

    ``report`` makes the call, with how often sessions are reported at most; it gives the shorter
    intervals that the service asks for, by session, and raises TokenServiceError. Randomness
    ([0, 1)) and sleep are given by tests.
    """

    def __init__(
        self,
        log: ActivityLog,
        clock: AnchoredClock,
        report: Callable[[dict[str, float], float], Awaitable[Mapping[str, float]]],
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
        log = self._activity
        while batch := log.take(self._clock.now()):
            settled = False
            try:
                log.reported(batch, await self._report(batch, log.interval))
                settled = True
            except TokenServiceError as error:
                self._log_failure(error)
                if error.code is not StatusCode.INVALID_ARGUMENT:
                    return error
                log.reported(batch, {})  # it would be refused again
                settled = True
            finally:
                if not settled:
                    log.give_back(batch, self._clock.now() - KEEP_SECONDS)
        return None

    def _log_failure(self, error: TokenServiceError) -> None:
        first = not self._pauses.failures and not isinstance(error, Unreachable)
        _log.log(logging.WARNING if first else logging.DEBUG, "activity was not taken: %s", error)
