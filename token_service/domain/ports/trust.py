"""Revocation, the trust log, and the markers of activity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from token_service.domain.trust.revocation import Revocation, Revoked
from tokenservice.core import TrustState


@dataclass(frozen=True, slots=True)
class ActivityMark:
    """A node has written that a session was used at `at`; it is to be written again from `until`
    on. Both are in Unix seconds."""

    at: float
    until: float


class ActivityMarks(Protocol):
    """Shared between nodes: what was written of sessions lately. Best effort."""

    async def read(self, session_ids: Sequence[UUID]) -> Mapping[UUID, ActivityMark]:
        """The marks that there are; none when the store does not answer."""
        ...

    async def write(self, marks: Mapping[UUID, ActivityMark], now: float) -> None:
        """Leave marks for the other nodes, each until its `until`."""
        ...


class RevocationStore(Protocol):
    """Writes the trust log. Concurrent calls on a node share a transaction."""

    async def revoke(self, revocation: Revocation, now: datetime) -> Revoked:
        """Commit the revocation with its audit row, and then the descendants' in as many
        transactions as it takes; returns after the last commit. Raises STORE_UNAVAILABLE: repeat
        it, which goes on where this came to."""
        ...


class Trust(Protocol):
    """This node's view of the trust log."""

    @property
    def state(self) -> TrustState: ...

    def is_fresh(self, now: float | None = None) -> bool:
        """Whether the view is within the staleness limit at `now`, in Unix seconds of the clock
        (None: it is read)."""
        ...

    async def require_fresh(self, min_revision: int = 0) -> None:
        """Return when the view is within the staleness limit and at `min_revision` or above,
        reading the log if needed. Raises REVISION_UNKNOWN (above the head) or TRUST_STALE."""
        ...

    async def reach(self, revision: int) -> None:
        """Read the log until this node's view has `revision`; best effort, bounded."""
        ...
