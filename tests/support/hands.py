"""Local clocks that tests move; nothing of the server is needed for them."""

from tests.support.tokens import NOW
from tokenservice.core import AnchoredClock


class Hands:
    """A clock in seconds that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """What it reads."""
        return self.now


class HandClock:
    """Seconds since boot, moved by hand; `clock` is anchored so that it reads NOW at boot 1000."""

    def __init__(self, *, anchored: bool = True) -> None:
        self.reading = 1000.0
        self.clock = AnchoredClock(lambda: self.reading)
        if anchored:
            self.clock.anchor(float(NOW), 1000.0, 1000.0)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.reading += seconds
