"""Bounds on how much work is taken on, per class, and how often one caller may call."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context
from datetime import timedelta

from token_service.domain.errors import TokenServiceError
from token_service.rpc.errors import overloaded, rate_limited, shutting_down
from token_service.rpc.policy_table import Rate

MAX_CALLERS = 10_000
"""How many callers a limiter remembers before it forgets those at rest."""


SHARE = 3
"""Places that one caller may hold for each that is left free.

A caller alone in its class gets three quarters of it, one who comes after it three quarters of what
is left, and so on: whatever somebody holds, there is a place for who comes next. (Switches divide
their buffers among flows in this way: "dynamic thresholds".)"""

_GOLDEN = 0.618033988749895
"""Steps of this size through [0, 1) stay evenly spread, however many there are."""


class WorkBound:
    """Counts the calls of one class in flight, refuses more than `limit`, and lets no caller have
    more than its share of them.

    A place is held by whom it is counted for: an address until the call is admitted, then the
    client that calls. Whoever is refused is told to come back after `pause` and up to twice that
    later, the pauses spread evenly: a crowd that was refused together must not come back together.
    """

    __slots__ = ("_held", "_pause", "_spread", "active", "limit", "refusal")

    def __init__(self, limit: int, pause: timedelta | None = None) -> None:
        """Without `pause`, a refusal says what every OVERLOADED does."""
        self.limit = limit
        self.active = 0
        self._held: dict[str, int] = {}
        self._pause = pause
        self._spread = 0.0
        self.refusal: Callable[[], TokenServiceError] = self._overloaded

    def enter(self, holder: str) -> None:
        """Count a call in for `holder`. Raises OVERLOADED, or SHUTTING_DOWN once closed; then
        `leave` must not be called."""
        free = self.limit - self.active
        held = self._held.get(holder, 0)
        if free <= 0 or held >= SHARE * free:
            raise self.refusal()
        self._held[holder] = held + 1
        self.active += 1

    def pass_on(self, former: str, holder: str) -> None:
        """Let `holder` have a place of `former`. Raises OVERLOADED when it has its share; then
        the place is still the former's."""
        free = self.limit - self.active + 1
        if self.limit and self._held.get(holder, 0) >= SHARE * free:
            raise self.refusal()
        self._held[holder] = self._held.get(holder, 0) + 1
        self._give_up(former)

    def leave(self, holder: str) -> None:
        """Count a call of `holder` out."""
        self.active -= 1
        self._give_up(holder)

    def _give_up(self, holder: str) -> None:
        left = self._held[holder] - 1
        if left:
            self._held[holder] = left
        else:
            del self._held[holder]

    def close(self) -> None:
        """Let nobody in any more."""
        self.limit = 0
        self.refusal = shutting_down

    def _overloaded(self) -> TokenServiceError:
        if self._pause is None:
            return overloaded()
        self._spread = (self._spread + _GOLDEN) % 1.0
        return overloaded(self._pause * (1.0 + 2.0 * self._spread))


class Crowd:
    """Like events of which the first is worth a line of the log, and of the others how many they
    were, a second later: a line for each would be the work that there is no room for."""

    __slots__ = ("_more", "_pause", "_report", "_timer")

    def __init__(self, report: Callable[[int], None], pause: float = 1.0) -> None:
        """`report` is told how many came besides, `pause` seconds after the first, and after each
        such report."""
        self._report = report
        self._pause = pause
        self._more = 0
        self._timer: asyncio.TimerHandle | None = None

    def is_first(self) -> bool:
        """Count an event; whether it is the first in a while."""
        if self._timer is not None:
            self._more += 1
            return False
        self._wait()
        return True

    def _wait(self) -> None:
        loop = asyncio.get_running_loop()
        # In a context of its own: it speaks of no call in particular.
        self._timer = loop.call_later(self._pause, self._tell, context=Context())

    def _tell(self) -> None:
        self._timer = None
        if self._more:
            more, self._more = self._more, 0
            self._wait()
            self._report(more)


class RateLimiter:
    """A token bucket per caller, kept as the moment at which it would be full again (GCRA).

    Lives in one process: the limit is each node's own. Time is monotonic seconds.
    """

    __slots__ = ("_clock", "_full_at", "_spacing", "_tolerance")

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._spacing = 1.0 / rate.per_second
        self._tolerance = self._spacing * (rate.burst - 1)
        self._full_at: dict[str, float] = {}

    def take(self, caller: str) -> None:
        """Take one call from the caller's bucket. Raises RATE_LIMITED with the time to wait."""
        now = self._clock()
        full_at = self._full_at.get(caller, now)
        ahead = full_at - now
        if ahead > self._tolerance:
            raise rate_limited(timedelta(seconds=ahead - self._tolerance))
        if full_at < now:
            full_at = now
        elif len(self._full_at) >= MAX_CALLERS and caller not in self._full_at:
            self._forget(now)
        self._full_at[caller] = full_at + self._spacing

    def owed(self, caller: str) -> float:
        """How many calls were taken from the bucket that time has not put back yet."""
        return max(0.0, self._full_at.get(caller, 0.0) - self._clock()) / self._spacing

    def _forget(self, now: float) -> None:
        """Drop full buckets; if every caller is busy, drop all rather than grow."""
        busy = {caller: at for caller, at in self._full_at.items() if at > now}
        self._full_at = busy if len(busy) < MAX_CALLERS else {}


class FailureLimiter:
    """Limits the attempts of each caller by those that failed: what succeeds costs nothing.

    Attempts under way count as failed where some failed before, so that a flood of them does not
    slip in between two failures.
    """

    __slots__ = ("_burst", "_failures", "_pause", "_under_way")

    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._failures = RateLimiter(rate, clock)
        self._burst = rate.burst
        self._pause = timedelta(seconds=1.0 / rate.per_second)
        self._under_way: dict[str, int] = {}

    @contextmanager
    def attempt(self, caller: str) -> Iterator[None]:
        """The scope of one attempt. Raises RATE_LIMITED when it may not be made. One that is
        given up has failed: else whoever never waits for the outcome would not be limited."""
        owed, under_way = self._failures.owed(caller), self._under_way.get(caller, 0)
        if owed and owed + under_way > self._burst - 1:
            raise rate_limited(self._pause * max(1.0, owed + under_way + 1 - self._burst))
        self._under_way[caller] = under_way + 1
        try:
            yield
        except asyncio.CancelledError:
            with suppress(TokenServiceError):
                self.failed(caller)
            raise
        finally:
            if left := self._under_way[caller] - 1:
                self._under_way[caller] = left
            else:
                del self._under_way[caller]

    def failed(self, caller: str) -> None:
        """Count a failed attempt. Raises RATE_LIMITED, instead of whatever it failed with, once
        there were too many."""
        self._failures.take(caller)
