"""How long to wait before a failed call is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds that double with each failure, from ``first`` to ``longest``, with jitter.

    Jitter keeps callers that failed together from coming back together.
    """

    first: float = 0.05
    longest: float = 2.0

    def pause(
        self, failures: int, random: Callable[[], float], retry_after: float | None = None
    ) -> float:
        """Give the pause after so many failures (1 or more); ``random`` gives [0, 1).

        What the server asked for (RetryInfo) is a lower bound.
        """
        doubled: float = min(self.longest, self.first * 2 ** min(failures - 1, 30))
        pause = doubled * (0.5 + 0.5 * random())
        if retry_after is None:
            return pause
        return max(pause, retry_after * (1 + 0.25 * random()))
