"""A clock that tests move by hand."""

import time
from datetime import timedelta

from token_service.adapters.system import AnchoredSystemClock
from tokenservice.core import AnchoredClock
from tokenservice.core.clock import SETTLED_SECONDS


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


def settle(anchor: AnchoredClock) -> None:
    """Anchor a clock as it is on a machine where the service has run for a while: only then does
    anything get forgotten because its time is over."""
    long_ago = anchor.boot() - SETTLED_SECONDS
    anchor.anchor(time.time() - SETTLED_SECONDS, long_ago, long_ago)


class Hands:
    """A clock in seconds that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """What it reads."""
        return self.now
