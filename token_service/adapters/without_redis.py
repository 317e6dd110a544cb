"""What takes Redis' place where none is configured: all but the start of a pairing works, more of
it on Postgres."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from token_service.domain.errors import store_unavailable
from token_service.domain.pairing.decision import Pairing
from token_service.domain.ports import ActivityMark, SessionStore
from token_service.domain.sessions.session import Session


class StoredSessionFacts:
    """Implements ports.SessionFacts: every cold opaque token costs one indexed read."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def load(self, session_id: str, min_generation: int = 0) -> Session | None:
        """Load the row, which is never older than a token that exists."""
        del min_generation
        return await self._store.get(UUID(session_id))

    async def load_many(self, wanted: Mapping[str, int]) -> dict[str, Session]:
        """Load the rows, all with one statement."""
        sessions = await self._store.get_many([UUID(session_id) for session_id in wanted])
        return {str(session.session_id): session for session in sessions}


class NoCoarseLimit:
    """Implements ports.CoarseLimiter: the limits counted in Postgres stand alone."""

    async def allow(self, key: bytes, per_minute: int, burst: int) -> timedelta | None:
        """Let everything through."""
        del key, per_minute, burst
        return None


class OwnActivity:
    """Implements ports.ActivityMarks: each node writes what it saw itself."""

    async def read(self, session_ids: Sequence[UUID]) -> dict[UUID, ActivityMark]:
        """Find none."""
        del session_ids
        return {}

    async def write(self, marks: Mapping[UUID, ActivityMark], now: float) -> None:
        """Tell nobody."""
        del marks, now


class NoPendingPairings:
    """Implements `ports.PendingPairings` where there is no Redis: none can be started."""

    async def put(self, pairing: Pairing) -> None:
        """Raise STORE_UNAVAILABLE."""
        del pairing
        raise store_unavailable()

    async def get(self, pairing_id: UUID) -> Pairing | None:
        """Find nothing."""
        del pairing_id
        return None

    async def find_by_code(
        self, tag: str, code_hashes: Sequence[bytes], now: datetime
    ) -> Pairing | None:
        """Find nothing."""
        del tag, code_hashes, now
        return None
