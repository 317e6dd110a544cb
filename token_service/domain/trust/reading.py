"""One reading of the trust log, as the follower hands it on."""

from dataclasses import dataclass
from typing import Protocol

from tokenservice.core import TrustEntry, TrustState


@dataclass(frozen=True, slots=True)
class Lineage:
    """Which history of a PostgreSQL database a server has: its system identifier, which all copies
    of a database system share, and the timeline that it writes, which each promotion raises. None
    is what cannot be read, or was not recorded yet."""

    system_identifier: int | None = None
    timeline: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustReading:
    """The head of the log and its entries of `(since_revision, revision]`, from one statement on
    the primary; entries that can kill nothing any more may be missing.

    `db_time` (Unix seconds) is the server's clock while it read, `sent_boot` and `received_boot`
    (seconds of the clock that also runs during suspend) enclose it here.

    `server` is what the server says it is, `recorded` what it was when that was last looked at.
    `beat` counts the commits by which the primary shows about once a second that it still is one;
    at the last of them `synchronous` says whether it waited for a standby. `beaten_boot` is when
    that was, by the local clock: freshness counts from there, for what a server says that was
    succeeded meanwhile proves nothing later.
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
    beat: int
    beaten_boot: float
    synchronous: bool
    server: Lineage
    recorded: Lineage


class TrustSink(Protocol):
    """Takes readings, one after the other."""

    @property
    def state(self) -> TrustState:
        """How far the readings were taken over: the next one starts there."""
        ...

    @property
    def acknowledged(self) -> int:
        """The highest revision that this node was told to be committed."""
        ...

    async def apply(self, reading: TrustReading) -> None:
        """Take `reading` over, or leave it: then its entries come again."""
        ...
