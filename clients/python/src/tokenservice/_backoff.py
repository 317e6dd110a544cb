"""How long to wait before a failed call is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tokenservice._errors import TokenServiceError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds that double with each failure, from ``first`` to ``longest``, with jitter.

    Jitter keeps callers that failed together from coming back together.
    """

    first: float = 0.05
    longest: float = 2.0

    def pause(
        self, failures: int, random: Callable[[], float], retry_after: timedelta | None = None
    ) -> float:
        """Give the pause after so many failures (1 or more); ``random`` gives [0, 1).

        What the server asked for (RetryInfo) is a lower bound.
        """
        doubled: float = min(self.longest, self.first * 2 ** min(failures - 1, 30))
        pause = doubled * (0.5 + 0.5 * random())
        if retry_after is None:
            return pause
        return max(pause, retry_after.total_seconds() * (1 + 0.25 * random()))


UNANSWERED: Final = Backoff(first=0.1, longest=5.0)
"""For those who try for ever, after nobody answered: a server is back at any moment."""

REFUSED: Final = Backoff(first=0.5, longest=15.0)
"""The same after the service said no: an administrator has to change that."""


class Pauses:
    """The pauses of one loop that tries for as long as its program runs; grow until :meth:`over`.

    ``random`` gives [0, 1).
    """

    def __init__(self, random: Callable[[], float], unanswered: Backoff = UNANSWERED) -> None:
        self._random = random
        self._unanswered = unanswered
        self.failures = 0

    def after(self, error: Exception) -> float:
        """Give the seconds to wait after one more failure."""
        self.failures += 1
        retry_after: timedelta | None = None
        backoff = self._unanswered
        if isinstance(error, TokenServiceError):
            retry_after = error.retry_after
            if not isinstance(error, Unreachable) and not error.for_now:
                backoff = REFUSED
        return backoff.pause(self.failures, self._random, retry_after)

    def over(self) -> None:
        """What failed works again: the next failure is the first."""
        self.failures = 0
