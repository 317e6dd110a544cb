"""The server's clock, read here: an offset fixed by a round trip plus a clock that never stops.

Wall clocks step, and ordinary monotonic clocks stand still while a machine is suspended: after
a pause either would make an old trust state look fresh. CLOCK_BOOTTIME does neither.
"""

from __future__ import annotations

import time
from functools import partial
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

DRIFT: Final = 0.0005
"""How fast the two clocks may drift apart, in seconds per second (the kernel's slewing limit)."""

STEP: Final = 1.0
"""Seconds by which the server's clock must jump to be taken for one that was set."""

SETTLED_SECONDS: Final = 900.0
"""Longer than access tokens live as a rule."""


def choose_boottime() -> Callable[[], float]:
    """Find the clock that does not stop; monotonic time where there is none."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if clock is None else partial(time.clock_gettime, clock)


boottime: Final = choose_boottime()
"""Seconds since boot, suspension included where the machine can tell."""


class AnchoredClock:
    """Unix time of the server, from samples of its clock.

    A sample is a server time between two local readings; half their distance is how far off
    it may be. The best sample is kept, but it worsens with its age, for the clocks drift apart,
    so that in time any sample replaces it. One that contradicts it by more than both
    uncertainties means that the server's clock was set, and is believed at once.
    """

    __slots__ = ("_settled_at", "_taken_at", "_uncertainty", "boot", "offset")

    def __init__(self, boottime: Callable[[], float] = boottime) -> None:
        self.boot = boottime
        """Reads the local clock, as is due before and after a round trip."""
        self.offset = nan
        """What the server's clock is ahead of the local one, in seconds."""
        self._uncertainty = inf
        self._taken_at = -inf
        self._settled_at = inf

    @property
    def anchored(self) -> bool:
        """Whether there has been a sample."""
        return self._uncertainty < inf

    def now(self) -> float:
        """Unix seconds of the server's clock.

        NaN before the first sample: then nothing is fresh and no token is good.
        """
        return self.boot() + self.offset

    @property
    def settled(self) -> bool:
        """Whether the server's clock has gone on without a step for :data:`SETTLED_SECONDS`.

        Until then nothing may be forgotten because its time seems to be over: after a step ahead
        and back it would be missing.
        """
        return self.boot() - self._settled_at >= SETTLED_SECONDS

    def uncertainty(self) -> float:
        """By how many seconds :meth:`now` may be off; infinite before the first sample."""
        return self.uncertainty_at(self.boot())

    def witness(self, server_time: float, received_at: float) -> None:
        """Take note that the server's clock read ``server_time`` at ``received_at`` or earlier.

        A message that may have lain about for any time proves no more. If the clock cannot have
        got that far by what is known here, it may be anywhere up to there: the uncertainty grows,
        until a round trip settles it.
        """
        excess = server_time - received_at - self.offset - self.uncertainty_at(received_at)
        if 0 < excess < inf:
            if excess > STEP:
                self._settled_at = received_at
            self.offset += excess / 2
            self._uncertainty += excess / 2

    def uncertainty_at(self, reading: float) -> float:
        """By how many seconds it was off at most at a reading of the local clock."""
        return self._uncertainty + max(0.0, reading - self._taken_at) * DRIFT

    def anchor(self, server_time: float, sent_at: float, received_at: float) -> bool:
        """Offer a sample; returns whether it was adopted.

        ``sent_at`` and ``received_at`` are readings of :meth:`boot` around the round trip in
        which the server read its clock. A sample that makes no sense is ignored.
        """
        if not (isfinite(server_time) and isfinite(sent_at) and sent_at <= received_at < inf):
            return False
        offset = server_time - (sent_at + received_at) / 2
        uncertainty = (received_at - sent_at) / 2
        held = self.uncertainty_at(received_at)
        contradicted = abs(offset - self.offset) > uncertainty + held
        if uncertainty > held and not contradicted:
            return False
        if not self.anchored or abs(offset - self.offset) > STEP:
            self._settled_at = received_at
        self.offset, self._uncertainty, self._taken_at = offset, uncertainty, received_at
        return True
