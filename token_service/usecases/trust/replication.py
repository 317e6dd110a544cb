"""Whether commits wait for a standby, as the beats of the trust log say while the service runs."""

import structlog

from token_service.domain.trust.reading import TrustReading

_log = structlog.get_logger(__name__)


class ReplicationWatch:
    """A listener of readings, which reports when replication begins or ceases to be synchronous.

    Where that is `required`, changes are acknowledged while it is so, and only beats that a standby
    has acknowledged count as signs of life of the primary: any server can commit for itself alone.
    """

    def __init__(self, *, required: bool) -> None:
        self._required = required
        self.synchronous: bool | None = None
        """None before the first reading."""

    def __call__(self, reading: TrustReading) -> None:
        """Take note of a reading."""
        was, self.synchronous = self.synchronous, reading.synchronous
        if was is None or was is reading.synchronous:
            return
        if reading.synchronous:
            _log.info("replication_is_synchronous")
        else:
            _log.warning(
                "replication_is_asynchronous", cause="changed since", refused=self._required
            )

    @property
    def sufficient(self) -> bool:
        """Whether it is as the configuration requires it."""
        return self.synchronous is not False or not self._required

    def proves(self, reading: TrustReading) -> bool:
        """Whether the reading's beat shows that no other server has succeeded the primary, as far
        as is required."""
        return reading.synchronous or not self._required
