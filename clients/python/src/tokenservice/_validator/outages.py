"""Whether the service can be used, told once when it begins and once when it ends."""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from tokenservice._decisions.events import ValidatorEvents
from tokenservice._errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FEED: Final = "the trust feed"
_QUESTIONS: Final = "questions"

_log = logging.getLogger("tokenservice.validator")


class Outages:
    """One outage is all that is lost at the same time: the feed, answers, those for an audience.

    ``targets`` are for the log; ``clock`` gives monotonic seconds. Used on one event loop.
    """

    def __init__(
        self,
        targets: str = "",
        events: ValidatorEvents | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._service = f"the token service at {targets}" if targets else "the token service"
        self._events = events or ValidatorEvents()
        self._clock = clock
        self._lost: dict[str, Exception] = {}
        self._began_at = 0.0

    def lost(self, part: str, error: Exception) -> None:
        """Take note that something does not work, again or for the first time."""
        first = not self._lost
        known = part in self._lost
        self._lost[part] = error
        if first:
            self._began_at = self._clock()
            _log.warning("%s cannot be used: %s", self._service, text_of(error))
            self._events.outage_began(error)
        elif not known:
            _log.debug("%s: %s", part, text_of(error))

    def unanswered(self, audience: str, error: Exception) -> None:
        """Take note that no questions are answered, or none about one audience."""
        self.lost(_about(audience), error)

    def answered(self, audiences: Iterable[str]) -> None:
        """Take note that questions about these were answered."""
        if self._lost:
            for part in {_QUESTIONS, *map(_about, audiences)}:
                self.found(part)

    def found(self, part: str) -> None:
        """Take note that it works."""
        if not self._lost:
            return
        self._lost.pop(part, None)
        if part == FEED and isinstance(self._lost.get(_QUESTIONS), Unreachable):
            del self._lost[_QUESTIONS]  # nobody may have a question for long
        if not self._lost:
            seconds = self._clock() - self._began_at
            _log.info("%s can be used again, after %.1f s", self._service, seconds)
            self._events.outage_ended(timedelta(seconds=seconds))


def _about(audience: str) -> str:
    return f"{_QUESTIONS} about {audience}" if audience else _QUESTIONS


def text_of(error: Exception) -> str:
    """What went wrong; of a timeout, which says nothing itself, too."""
    return str(error) or "it says nothing new in time"
