"""Sessions: the store, and the facts of opaque tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from token_service.domain.audit import AuditEvent
from token_service.domain.kinds import Amr
from token_service.domain.sessions.session import Generation, Session, SessionView


@dataclass(frozen=True, slots=True)
class IssueGuard:
    """What must still hold, in the snapshot of the insert, for a new session to exist."""

    config_version: int
    user_version: int = 0
    credential_version: int = 0
    attempt_bucket: bytes = b""


@dataclass(frozen=True, slots=True)
class Inserted:
    """The session exists; `rev` is the trust revision of its snapshot."""

    rev: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAdvance:
    """One exchange's write: repeats what was decided on and changes nothing else."""

    session_id: UUID
    from_generation: int
    mint_kid: str
    exchange_hash: bytes | None
    exchange_fingerprint: bytes | None
    at: datetime
    idle_seconds: int
    idle_expires_at: datetime
    roles: tuple[str, ...]
    config_version: int
    user_version: int
    auth_time: datetime | None = None
    acr: int | None = None
    amr: Amr | None = None


@dataclass(frozen=True, slots=True)
class ClientTerms:
    """What a client's policy allows its sessions, as of `config_version`; `idle_seconds` has the
    idle lifetime of each platform (by its number, from 1)."""

    client_id: str
    config_version: int
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    idle_seconds: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainAdvance:
    """The exchange that nothing stands in the way of: the presented token is the current one and
    nothing was narrowed since the login. Whatever else it is, this write does not touch it."""

    terms: ClientTerms
    lookup_id: UUID
    generation: int
    presented_mint_kid: str
    confirmation: bytes
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    mint_kid: str
    exchange_hash: bytes | None
    exchange_fingerprint: bytes | None
    at: datetime


@dataclass(frozen=True, slots=True)
class ActivityRecord:
    """How many rows changed, and the idle lifetimes of the sessions that are live."""

    changed: int
    idle: Mapping[UUID, timedelta]


@dataclass(frozen=True, slots=True)
class SessionPage:
    """One page of sessions; `next_page_token` is empty on the last."""

    sessions: tuple[Session, ...]
    next_page_token: str


class SessionStore(Protocol):
    """Sessions in Postgres."""

    async def insert(
        self, session: Session, guard: IssueGuard, audit: AuditEvent
    ) -> Inserted | None:
        """Insert `session` and its audit row in one statement, with `rev` taken from the trust
        head in the same snapshot. None: the guard no longer holds (re-read and decide again)."""
        ...

    async def view(self, lookup_id: UUID) -> SessionView | None:
        """A session by lookup id with all that decides over it, in one snapshot."""
        ...

    async def advance(self, change: SessionAdvance, audit: AuditEvent) -> int | None:
        """Move the session one generation on, with its audit row, in one conditional statement
        (generation, revoked_at, rev against every valid_rev, user/client state and versions
        repeated). The trust revision of the snapshot, or None: something changed, decide again."""
        ...

    async def advance_plainly(
        self, change: PlainAdvance, audit: AuditEvent
    ) -> tuple[Generation, int] | None:
        """Read, check and advance in one statement and one snapshot: the generation that was made
        and the trust revision. None: not the plain case, decide on `view`. The audit row's
        target, subject and details are filled in. What comes at the same time shares a commit,
        and the latest `at` of it; a caller that goes away does not stop it."""
        ...

    async def get(self, session_id: UUID) -> Session | None:
        """A session by its public id."""
        ...

    async def get_many(self, session_ids: Sequence[UUID]) -> list[Session]:
        """Sessions by their public ids, in any order; those that do not exist are missing."""
        ...

    async def page(
        self, subject: str, client_id: str | None, page_size: int, page_token: str, now: datetime
    ) -> SessionPage:
        """Live sessions of a subject (only those of `client_id`, unless None), newest first."""
        ...

    async def record_activity(
        self,
        seen: Sequence[tuple[UUID, datetime]],
        now: datetime,
        audiences: Sequence[str] | None = None,
    ) -> ActivityRecord:
        """Push idle deadlines of live sessions forward (never past the absolute one, never
        back, times clamped to `now`); with `audiences` only of sessions that have one of them."""
        ...


class SessionFacts(Protocol):
    """The facts of an opaque access token's session: shared cache first, then Postgres."""

    async def load(self, session_id: str, min_generation: int = 0) -> Session | None:
        """None when there is no such session; never older than `min_generation`, the token's."""
        ...

    async def load_many(self, wanted: Mapping[str, int]) -> dict[str, Session]:
        """The same for many sessions at once: `wanted` has the generation of each, by its id.
        What does not exist is missing."""
        ...
