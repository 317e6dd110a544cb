"""Clock and randomness."""

from datetime import datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """The anchored clock: follows the Postgres primary, runs on during suspend."""

    def now(self) -> datetime: ...

    def unix(self) -> float: ...

    def unix_at(self, boot: float) -> float:
        """What `unix` was at a reading of the local clock that also runs during suspend."""
        ...


class Randomness(Protocol):
    """The only source of randomness."""

    def bytes(self, count: int) -> bytes: ...

    def uuid(self) -> UUID: ...
