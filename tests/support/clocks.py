"""Clocks that tests move by hand."""

import time
from datetime import UTC, datetime, timedelta

from token_service.adapters.system import AnchoredSystemClock
from tokenservice.core import AnchoredClock
from tokenservice.core.clock import SETTLED_SECONDS

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
"""When what happens on standing clocks begins."""


class ShiftedClock(AnchoredSystemClock):
    """Real time plus a shift: moving it is what waiting would be."""

    def __init__(self, shift: timedelta = timedelta(0)) -> None:
        super().__init__()
        self.shift = shift
        self.unix = self._shifted

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self.shift += by

    def _shifted(self) -> float:
        return self.anchor.now() + self.shift.total_seconds()


class StandingClock(AnchoredSystemClock):
    """A clock that stands still until it is moved; no reading of the trust log sets it."""

    def __init__(self, time: datetime) -> None:
        self.time = time
        super().__init__(_Pinned(self))

    def now(self) -> datetime:
        """See `AnchoredSystemClock.now`."""
        return self.time

    def move(self, by: timedelta) -> None:
        """Let time pass."""
        self.time += by


class _Pinned(AnchoredClock):
    """Reads the same as its local clock, and has done so for long."""

    def __init__(self, clock: StandingClock) -> None:
        super().__init__(lambda: clock.now().timestamp())
        long_ago = self.boot() - SETTLED_SECONDS
        super().anchor(long_ago, long_ago, long_ago)

    def anchor(self, server_time: float, sent_at: float, received_at: float) -> bool:
        """Adopt nothing."""
        del server_time, sent_at, received_at
        return False


def settle(anchor: AnchoredClock) -> None:
    """Anchor a clock as it is on a machine where the service has run for a while: only then does
    anything get forgotten because its time is over."""
    long_ago = anchor.boot() - SETTLED_SECONDS
    anchor.anchor(time.time() - SETTLED_SECONDS, long_ago, long_ago)
