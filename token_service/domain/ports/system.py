"""Clock, randomness, and what outlives a failover."""

from collections.abc import Hashable
from datetime import datetime
from typing import Protocol
from uuid import UUID

from token_service.domain.durability import Basis


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


class Durability(Protocol):
    """Makes sure that what was read outlives a failover, by commits that wait for the standby.

    They raise STORE_UNAVAILABLE when the commit takes too long, and when a failover came between it
    and the beginning of the call.
    """

    def begin(self) -> Basis:
        """Begin a call that may acknowledge a change. Raises STORE_UNAVAILABLE while none may."""
        ...

    async def settle(self, epoch: str | None) -> None:
        """Return once all that was visible before outlives a failover; `epoch` is the call's."""
        ...

    async def confirm(self, fact: Hashable) -> None:
        """The same for one `fact` that the current call has read; at most one commit a minute for
        each, so that repetitions cannot make the store write without end."""
        ...
