"""Revocation, the trust log, and the markers of activity."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from token_service.domain.revocation import Revocation, Revoked
from tokenservice.core import TrustState


class ActivityMarker(Protocol):
    """Shared between nodes: whose activity was written within the interval already."""

    async def unmarked(self, session_ids: Sequence[UUID]) -> Sequence[UUID]:
        """Those that this node shall write now; all of them when the store does not answer."""
        ...


class RevocationStore(Protocol):
    """Writes the trust log. Concurrent calls on a node share a transaction."""

    async def revoke(self, revocation: Revocation, now: datetime) -> Revoked:
        """Commit the revocation with its audit row; returns after the commit."""
        ...


class Trust(Protocol):
    """This node's view of the trust log."""

    @property
    def state(self) -> TrustState: ...

    async def require_fresh(self, min_revision: int = 0) -> None:
        """Return when the view is within the staleness limit and at `min_revision` or above,
        reading the log if needed. Raises REVISION_UNKNOWN (above the head) or TRUST_STALE."""
        ...

    async def reach(self, revision: int) -> None:
        """Read the log until this node's view has `revision`; best effort, bounded."""
        ...
