"""Whether the clock of the PostgreSQL primary steps: lifetimes and waiting times go by it."""

import structlog

from token_service.domain.trust.reading import TrustReading

MAX_STEP = 5.0
"""In seconds; smaller corrections are what time synchronisation does."""

_log = structlog.get_logger(__name__)


class ClockWatch:
    """A listener of readings, which reports when the primary's clock steps by more than MAX_STEP,
    or another primary's differs by so much.

    The measure is the local clock that no one sets (`boot`). The primary read its own at some
    moment between question and answer, so an offset is known to within a round trip: a step counts
    by what is certain of it.
    """

    def __init__(self) -> None:
        self._least: float | None = None
        self._most = 0.0

    def __call__(self, reading: TrustReading) -> None:
        """Take note of a reading."""
        least = reading.db_time - reading.received_boot
        most = reading.db_time - reading.sent_boot
        was_least, was_most = self._least, self._most
        self._least, self._most = least, most
        if was_least is None:
            return
        if least - was_most > MAX_STEP or was_least - most > MAX_STEP:
            step = (least + most - was_least - was_most) / 2
            _log.warning("postgres_clock_stepped", seconds=round(step, 1))
