"""Whether a process lives, and whether it should be sent calls, for whoever probes it over HTTP."""

import time
from collections.abc import Callable
from typing import Protocol

PULSE_SECONDS = 0.2
"""How often a loop shows that it runs, and looks at what probes and health watchers are told."""

HUNG_SECONDS = 10.0
"""After this long without a sign a loop counts as hung, and only a new process helps."""

STARTING = "the server is starting"
STOPPING = "the server is stopping"


class Probes(Protocol):
    """Asked by any thread; must answer at once. The texts are for people and hold no secret."""

    def why_not_live(self) -> str:
        """Why the process should be started anew; "" while it should not."""
        ...

    def why_not_ready(self) -> str:
        """Why no calls should be sent here now; "" while they should."""
        ...


class Pulse:
    """Shows whether somebody still does what they have to do again and again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()

    def beat(self) -> None:
        """A sign of life."""
        self._at = self._clock()

    @property
    def silence(self) -> float:
        """Seconds since the last sign."""
        return self._clock() - self._at

    def why_not_live(self, who: str) -> str:
        """That `who` has shown no sign of life for too long; "" where they have."""
        silent = self.silence
        return f"{who} has not answered for {silent:.0f} s" if silent > HUNG_SECONDS else ""
