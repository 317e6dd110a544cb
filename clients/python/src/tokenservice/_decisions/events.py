"""What happens in a validator, for those who count it: a hook for metrics, without a library.

::

    class Counting(ValidatorEvents):
        def decided(self, decision):
            DECISIONS.labels(decision.verdict.name, decision.source.value, decision.reason).inc()

        def outage_began(self, error):
            OUTAGE.set(1)

        def outage_ended(self, lasted):
            OUTAGE.set(0)

    validator = Validator(connection, events=Counting())
    VIEW_AGE.set_function(lambda: validator.view_age.total_seconds())

Nothing here gets a token or a secret. Methods are called where the thing happens and have to return
at once: ``decided`` on the thread that asked (with a ``SyncValidator`` on any), the others on the
validator's event loop. One that raises is logged, and changes no decision.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from tokenservice._decisions.decision import Decision

_log = logging.getLogger("tokenservice.validator")


class ValidatorEvents:
    """Does nothing; override what you want to hear of. Later versions may have more methods."""

    def decided(self, decision: Decision) -> None:
        """Hear of each decision: its ``verdict``, its ``source`` (local, remote, none), and its
        ``reason`` where nobody could decide. All three have few values."""

    def asked(self, questions: int, took: timedelta, reason: str) -> None:
        """Hear of each call to the service that asked about one token or several, how long it
        ``took``, and why it failed: "" if it was answered, else as in :class:`Decision`."""

    def outage_began(self, error: Exception) -> None:
        """Hear that the service cannot be used: its feed cannot be followed, and the view of the
        trust log is too old, or questions are not answered."""

    def outage_ended(self, lasted: timedelta) -> None:
        """Hear that it can be used again, and how long it could not."""


class GuardedEvents(ValidatorEvents):
    """Another one's methods, whose faults are logged and change nothing."""

    def __init__(self, events: ValidatorEvents) -> None:
        self._events = events

    def decided(self, decision: Decision) -> None:
        """See :class:`ValidatorEvents`, as for all of these."""
        _guarded(lambda: self._events.decided(decision))

    def asked(self, questions: int, took: timedelta, reason: str) -> None:
        """Pass on."""
        _guarded(lambda: self._events.asked(questions, took, reason))

    def outage_began(self, error: Exception) -> None:
        """Pass on."""
        _guarded(lambda: self._events.outage_began(error))

    def outage_ended(self, lasted: timedelta) -> None:
        """Pass on."""
        _guarded(lambda: self._events.outage_ended(lasted))


def _guarded(tell: Callable[[], None]) -> None:
    try:
        tell()
    except Exception:  # noqa: BLE001 - whatever it is, a request must not fail of it
        _log.exception("a method of the validator's events has failed")
