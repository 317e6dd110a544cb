"""When to stop asking for a while: nobody answers, or the service refuses whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from grpc import StatusCode

from tokenservice._backoff import Backoff, Pauses
from tokenservice._errors import TokenServiceError, Unreachable
from tokenservice._reason import Reason
from tokenservice.core.bounded_cache import put_bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FAILURES: Final = 2
"""After so many calls in a row that nobody answered, questions are refused for a moment."""
MAX_DENIED: Final = 1_024
"""Audiences that the service refuses to answer about, as far as they are remembered."""

_DENIED: Final = Reason.AUDIENCE_NOT_ALLOWED
_OF_THE_CALLER: Final = frozenset(
    {
        StatusCode.PERMISSION_DENIED,
        StatusCode.UNAUTHENTICATED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.RESOURCE_EXHAUSTED,
    }
)
"""What the next question will be refused with as well."""


class _Hold:
    """A time in which questions are refused without asking; longer with each failure."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._pauses = Pauses(random, Backoff(first=0.1, longest=1.0))
        self.until = 0.0
        self.reason = ""

    def begin(self, error: TokenServiceError, now: float) -> None:
        # Calls that were under way together fail together: that is one failure.
        if now >= self.until:
            self.until = now + self._pauses.after(error)
            self.reason = reason_of(error)

    def over(self) -> None:
        self._pauses.over()
        self.until = 0.0


class Holds:
    """Those of one validator: for all questions, and for those about one audience.

    ``clock`` gives monotonic seconds, ``random`` [0, 1).
    """

    def __init__(self, clock: Callable[[], float], random: Callable[[], float]) -> None:
        self._clock = clock
        self._random = random
        self._failures = 0
        self._all = _Hold(random)
        self._denied: dict[str, _Hold] = {}

    def reason(self, audience: str) -> str:
        """Why a question is refused at this moment without asking; "" if it is not."""
        if not self._all.until and not self._denied:
            return ""
        now = self._clock()
        if now < self._all.until:
            return self._all.reason
        denied = self._denied.get(audience)
        return denied.reason if denied is not None and now < denied.until else ""

    def failed(self, error: TokenServiceError, audience: str) -> bool:
        """Take note of a call that failed; returns whether others are held back now.

        ``audience`` is what was asked about, where that was the fault.
        """
        now = self._clock()
        if isinstance(error, Unreachable):
            self._failures += 1
            if self._failures < FAILURES:
                return False
            self._all.begin(error, now)
            return True
        self._failures = 0
        if error.reason is _DENIED:
            hold = self._denied.get(audience) or _Hold(self._random)
            hold.begin(error, now)
            put_bounded(self._denied, audience, hold, MAX_DENIED)
            return True
        if error.code in _OF_THE_CALLER:
            self._all.begin(error, now)
            return True
        return False

    def succeeded(self, audiences: Iterable[str]) -> None:
        """Take note of an answer about these."""
        self._failures = 0
        self._all.over()
        if self._denied:
            for audience in audiences:
                self._denied.pop(audience, None)


def is_of_one(error: TokenServiceError) -> bool:
    """Whether a batch failed because of one of its questions."""
    return error.reason is _DENIED or error.code is StatusCode.INVALID_ARGUMENT


def reason_of(error: TokenServiceError) -> str:
    """The reason of a decision that could not be made because of this."""
    return "unreachable" if isinstance(error, Unreachable) else error.raw_reason.lower()
