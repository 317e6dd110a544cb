"""What becomes of the service when one of its workers ends unasked."""

from collections import deque
from dataclasses import dataclass

DEATHS = 5
WITHIN = 60.0
FIRST_PAUSE = 0.25
LONGEST_PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Replace:
    """Start another worker after `pause` seconds."""

    pause: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """End the service; `reason` is for people."""

    reason: str


class RestartPolicy:
    """Replaces a worker, unless `deaths` of them end unasked `within` so many seconds.

    One that has served is replaced at once; one that could not even begin, after a pause that
    doubles. Times are those of one monotonic clock, in seconds.
    """

    def __init__(self, *, deaths: int = DEATHS, within: float = WITHIN) -> None:
        self._deaths = deaths
        self._within = within
        self._recent: deque[float] = deque()
        self._pause = 0.0

    def died(self, now: float, *, served: bool) -> Replace | GiveUp:
        """Decide about a death at `now`."""
        self._recent.append(now)
        while self._recent[0] <= now - self._within:
            self._recent.popleft()
        if len(self._recent) >= self._deaths:
            return GiveUp(f"{len(self._recent)} workers ended unasked within {self._within:.0f} s")
        if served:
            self._pause = 0.0
        else:
            self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
        return Replace(self._pause)
