"""A local clock that tests move, related to the server's."""

from tests.unit.core.builders import NOW
from tokenservice.core import AnchoredClock


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
