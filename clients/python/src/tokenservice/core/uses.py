"""When sessions were used, told on in batches: the latest use of each, and not too often.

Sliding expiry hears of uses through this, on the server's nodes and in gateways alike. A use that
comes too early to be told is kept and told later, so what is told of a session is always its
latest use, no older than its interval and one round of telling.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

INTERVALS_PER_IDLE: Final = 4
"""A session's use is told at least so often within its idle lifetime: whoever waits for an
interval, and finds then that another one has told an older use, waits for one more at the most."""


def interval_of(idle_seconds: float, longest: float) -> float:
    """Seconds between two tellings of a session with this idle lifetime."""
    return min(longest, idle_seconds / INTERVALS_PER_IDLE)


class RecentUses:
    """The latest uses of sessions, each told at most once in its interval.

    Times are Unix seconds of one clock. Any thread may call ``note``; one task takes, and settles
    what it took. At most ``at_most`` sessions wait to be told of; beyond it, uses of others are
    not taken note of.
    """

    def __init__(self, at_most: int) -> None:
        self._at_most = at_most
        self._waiting: dict[str, float] = {}
        self._next: list[str] = []
        """Sessions that wait and may be told of at once; some twice."""
        self._resting: set[str] = set()
        self._rests: list[tuple[float, str]] = []

    def __len__(self) -> int:
        """Count the sessions that are remembered: to be told of, or told of lately."""
        return len(self._waiting.keys() | self._resting)

    @property
    def waiting(self) -> int:
        """How many wait to be told of."""
        return len(self._waiting)

    def __contains__(self, session_id: str) -> bool:
        """Whether the session was used lately."""
        return session_id in self._waiting or session_id in self._resting

    def note(self, session_id: str, at: float) -> None:
        """Remember that a token of the session was accepted."""
        known = self._waiting.get(session_id)
        if known is None:
            if len(self._waiting) < self._at_most:
                self._waiting[session_id] = at
                if session_id not in self._resting:
                    self._next.append(session_id)
        elif at > known:
            self._waiting[session_id] = at

    def take(self, now: float, at_most: int) -> dict[str, float]:
        """Take sessions that are to be told of now, with their latest uses.

        Each has to be settled: by ``rest``, or by ``give_back``.
        """
        self._wake(now)
        batch: dict[str, float] = {}
        while self._next and len(batch) < at_most:
            session_id = self._next.pop()
            at = self._waiting.pop(session_id, None)
            if at is not None:
                self._resting.add(session_id)
                batch[session_id] = at
        return batch

    def rest(self, session_id: str, until: float) -> None:
        """Leave a session alone until then; what is noted meanwhile is told afterwards."""
        self._resting.add(session_id)
        heappush(self._rests, (until, session_id))

    def postpone(self, session_id: str, at: float, until: float) -> None:
        """Tell this use, or a later one, only then."""
        self._keep(session_id, at)
        self.rest(session_id, until)

    def give_back(self, batch: Mapping[str, float], oldest: float = 0.0) -> None:
        """Tell these uses in the next round, but for those that are older than ``oldest``."""
        for session_id, at in batch.items():
            self._resting.discard(session_id)
            if at >= oldest:
                self._keep(session_id, at)
            if session_id in self._waiting:
                self._next.append(session_id)

    def _keep(self, session_id: str, at: float) -> None:
        known = self._waiting.get(session_id)
        if known is not None or len(self._waiting) < self._at_most:
            self._waiting[session_id] = at if known is None else max(at, known)

    def _wake(self, now: float) -> None:
        rests = self._rests
        while rests and rests[0][0] <= now:
            session_id = heappop(rests)[1]
            self._resting.discard(session_id)
            if session_id in self._waiting:
                self._next.append(session_id)
