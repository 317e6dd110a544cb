"""One reading of the trust log, as the follower hands it on."""

from dataclasses import dataclass
from typing import Protocol

from tokenservice.core import TrustEntry, TrustState


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustReading:
    """The head of the log and its entries of `(since_revision, revision]`, from one statement on
    the primary; entries that can kill nothing any more may be missing.

    `db_time` (Unix seconds) is the server's clock while it read, `sent_boot` and `received_boot`
    (seconds of the clock that also runs during suspend) enclose it here. The log was as it says
    at `sent_boot` or later: freshness counts from there.
    """

    epoch: str
    revision: int
    valid_rev: int
    config_version: int
    keys_version: int
    entries: tuple[TrustEntry, ...]
    since_revision: int
    db_time: float
    sent_boot: float
    received_boot: float


class TrustSink(Protocol):
    """Takes readings, one after the other."""

    @property
    def state(self) -> TrustState:
        """How far the readings were taken over: the next one starts there."""
        ...

    async def apply(self, reading: TrustReading) -> None:
        """Take `reading` over, or leave it: then its entries come again."""
        ...
