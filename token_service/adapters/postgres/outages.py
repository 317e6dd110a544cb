"""Tells of outages in the log: one warning for each cause, however many calls it fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from token_service.adapters.postgres.failures import Cause

REPEAT_SECONDS = 60.0
"""While an outage lasts, it is told again after so long, with how many calls it has failed."""

QUIET_SECONDS = 5.0
"""An outage is over when calls succeed and its cause was not seen for so long: reads succeed while
a full disk fails every write."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Outage:
    began: float
    seen: float
    told: float
    calls: int = 1


class Outages:
    """The outages of one store in one process. `clock` is monotonic and in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lasting: dict[Cause, _Outage] = {}

    @property
    def any(self) -> bool:
        """Whether one lasts: only then `succeeded` has anything to do."""
        return bool(self._lasting)

    def failed(self, cause: Cause, error: BaseException | None = None) -> None:
        """A call failed of `cause`; of `error` only the type is told."""
        now = self._clock()
        outage = self._lasting.get(cause)
        if outage is None:
            outage = self._lasting[cause] = _Outage(now, now, now)
        else:
            outage.calls += 1
            outage.seen = now
            if now - outage.told < REPEAT_SECONDS:
                return
            outage.told = now
        kind = "" if error is None else type(error).__name__
        _log.warning("postgres_fails", **_told(cause), error=kind, calls=outage.calls)

    def succeeded(self) -> None:
        """A call succeeded: outages that were not seen for a while are over."""
        now = self._clock()
        for cause, outage in tuple(self._lasting.items()):
            if now - outage.seen >= QUIET_SECONDS:
                del self._lasting[cause]
                seconds = round(outage.seen - outage.began, 1)
                _log.info("postgres_works", **_told(cause), seconds=seconds, calls=outage.calls)


def _told(cause: Cause) -> dict[str, str]:
    return {"cause": cause.text, "sqlstate": cause.sqlstate}
