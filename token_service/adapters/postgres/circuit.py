"""A circuit breaker: a store that keeps failing is asked rarely, and everyone else told at once."""

from collections.abc import Callable


class Circuit:
    """Opens after `failures` failures in a row; then one call per `retry_after` seconds is let
    through as a probe, until one succeeds.

    A probe that never reports back (its caller went away) costs one interval and no more.
    `clock` is monotonic and in seconds.
    """

    def __init__(
        self, clock: Callable[[], float], *, failures: int = 5, retry_after: float = 1.0
    ) -> None:
        if failures < 1 or retry_after <= 0:
            raise ValueError("a circuit needs at least one failure and a positive interval")
        self._clock = clock
        self._limit = failures
        self._retry_after = retry_after
        self._failed = 0
        self._next_probe = 0.0

    @property
    def is_open(self) -> bool:
        """True while only probes are let through."""
        return self._failed >= self._limit

    def allow(self) -> bool:
        """Whether a call may be tried now; when open, True takes the interval's one probe."""
        if not self.is_open:
            return True
        now = self._clock()
        if now < self._next_probe:
            return False
        self._next_probe = now + self._retry_after
        return True

    def succeeded(self) -> None:
        """The store answered: closed again."""
        self._failed = 0

    def failed(self) -> bool:
        """The store could not be reached. True when this very failure opened the circuit."""
        self._failed += 1
        self._next_probe = self._clock() + self._retry_after
        return self._failed == self._limit
