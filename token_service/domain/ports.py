"""What the use cases need from the outside. Adapters implement these; `app` wires them.

Every store method raises STORE_UNAVAILABLE when the store does not answer in time. All times are
aware UTC datetimes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from token_service.domain.kinds import Amr, ClientState, KeyPurpose, KeyState, TokenKind
from token_service.domain.policy import ClientPolicy
from token_service.domain.records import (
    AuditEvent,
    Client,
    ClientSecret,
    Key,
    Session,
    SessionView,
    User,
)
from token_service.domain.revocation import Revocation, Revoked
from tokenservice.core import Facts, OpaqueAccess, TrustKey, TrustState


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


# --- sessions ---------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class SessionAdvance:
    """One exchange's write: repeats what was decided on and changes nothing else."""

    session_id: UUID
    from_generation: int
    mint_kid: str
    exchange_hash: bytes | None
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
class PlainAdvance:
    """The exchange that nothing stands in the way of: the presented token is the current one and
    nothing was narrowed since the login. Whatever else it is, this write does not touch it.

    `idle_seconds` has today's idle lifetime of each platform (by its number, from 1); client
    audiences and scopes are those of the policy as of `config_version`.
    """

    lookup_id: UUID
    generation: int
    presented_mint_kid: str
    client_id: str
    confirmation: bytes
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    client_audiences: tuple[str, ...]
    client_scopes: tuple[str, ...]
    idle_seconds: tuple[int, ...]
    mint_kid: str
    exchange_hash: bytes | None
    at: datetime
    config_version: int


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
    ) -> tuple[Session, int] | None:
        """Read, check and advance in one statement and one snapshot: the session as it is then
        and the trust revision. None: not the plain case, decide on `view`. The audit row's
        target, subject and details are filled in."""
        ...

    async def get(self, session_id: UUID) -> Session | None:
        """A session by its public id."""
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
    ) -> int:
        """Push idle deadlines of live sessions forward (never past the absolute one, never
        back, times clamped to `now`); with `audiences` only of sessions that have one of them.
        Returns how many rows changed."""
        ...

    async def sweep(self, now: datetime, limit: int) -> int:
        """Delete up to `limit` sessions past their absolute expiry."""
        ...


class SessionFacts(Protocol):
    """The facts of an opaque access token's session: shared cache first, then Postgres."""

    async def load(self, session_id: str, min_generation: int = 0) -> Session | None:
        """None when there is no such session; never older than `min_generation`, the token's."""
        ...


# --- revocation and trust ---------------------------------------------------------------------


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


# --- clients, users, keys ---------------------------------------------------------------------


class ClientStore(Protocol):
    """Registered applications. Every change writes its audit row in the same transaction and
    bumps the configuration version that nodes' caches follow."""

    async def get(self, client_id: str) -> tuple[Client, int] | None:
        """The client with its secrets' hashes, and the configuration version, in one snapshot."""
        ...

    async def page(
        self, state: ClientState | None, page_size: int, page_token: str
    ) -> tuple[tuple[Client, ...], str]: ...

    async def insert(self, client: Client, audit: AuditEvent) -> bool:
        """False when the client id is taken."""
        ...

    async def review(
        self,
        client_id: str,
        state: ClientState,
        policy: ClientPolicy | None,
        note: str,
        audit: AuditEvent,
    ) -> bool:
        """PENDING → `state`; False when the client was not PENDING."""
        ...

    async def put_secret(
        self,
        client_id: str,
        secret: ClientSecret,
        request_hash: bytes,
        *,
        old_expires_at: datetime | None,
        audit: AuditEvent,
    ) -> bool:
        """Add a secret. With `old_expires_at` the other live ones end then at the latest
        (rotation, ACTIVE clients); without it every unused one is replaced (collect: APPROVED or
        ACTIVE and none used yet). False when the client's state does not allow it. The same
        `request_hash` again changes nothing and is True."""
        ...

    async def mark_used(self, client_id: str, secret_hash: bytes, now: datetime) -> None:
        """First use of a secret: sets first_used_at and forgets the registration secret."""
        ...

    async def rehash_secret(
        self, client_id: str, old_hash: bytes, new_hash: bytes, pepper_id: str
    ) -> None:
        """Move a secret's hash to another pepper."""
        ...

    async def update_policy(
        self,
        client_id: str,
        policy: ClientPolicy,
        *,
        narrowed: bool,
        audit: AuditEvent,
        former: ClientPolicy | None = None,
    ) -> tuple[Client, int] | None:
        """Replace the policy, if it is still `former` (None: whatever it is). `narrowed` adds a
        REISSUE entry for the client. Returns the client and the trust revision, None when there
        is no such client or its policy is another one."""
        ...

    async def set_enabled(
        self, client_id: str, enabled: bool, audit: AuditEvent
    ) -> tuple[Client, int] | None:
        """Disable (valid_rev and a REVOKE entry in the same transaction) or enable."""
        ...


class UserStore(Protocol):
    """Users of our own store. A change that takes something away writes its trust entry and
    audit row in the same transaction and returns the revision."""

    async def by_username(self, username: str) -> tuple[User, int] | None:
        """By canonical name, with the configuration version, in one snapshot."""
        ...

    async def get(self, user_id: UUID) -> User | None: ...

    async def page(self, page_size: int, page_token: str) -> tuple[tuple[User, ...], str]: ...

    async def insert(self, user: User, audit: AuditEvent) -> bool:
        """False when the username is taken. Raises ROLE_NOT_FOUND."""
        ...

    async def set_password(
        self, user_id: UUID, password_hash: str, *, keep_session: UUID | None, audit: AuditEvent
    ) -> int | None:
        """New hash, credential_version + 1, every session revoked except `keep_session`, whose
        rev moves to the new revision. None: no such user, or `keep_session` is not a live session
        of theirs (any more): then nothing is changed, so that neither it nor the password of
        whoever held it outlives a revocation that came first."""
        ...

    async def rehash(self, user_id: UUID, old_hash: str, new_hash: str) -> None:
        """Same password under stronger parameters; changes nothing else."""
        ...

    async def set_enabled(self, user_id: UUID, enabled: bool, audit: AuditEvent) -> int | None: ...

    async def delete(self, user_id: UUID, audit: AuditEvent) -> int | None: ...

    async def set_roles(self, user_id: UUID, roles: Sequence[str], audit: AuditEvent) -> int | None:
        """Replace the roles; when scopes are lost, a REISSUE entry. Raises ROLE_NOT_FOUND."""
        ...

    async def define_role(self, role: str, scopes: Sequence[str], audit: AuditEvent) -> int:
        """Create or replace a role; when scopes are lost, one REISSUE entry for EVERYTHING."""
        ...

    async def roles(self) -> dict[str, tuple[str, ...]]: ...


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One step of a key's life, conditional on the state it was decided on."""

    kid: str
    from_state: KeyState
    to_state: KeyState
    retires_at: datetime | None = None


class KeyStore(Protocol):
    """Keys in Postgres; every change bumps the version that nodes follow."""

    async def all(self) -> tuple[Key, ...]: ...

    async def insert(self, key: Key, audit: AuditEvent) -> None: ...

    async def bootstrap(self, keys: Sequence[Key], audit: AuditEvent) -> None:
        """Insert `keys` unless there is a live key of their purpose and algorithm already;
        safe when two nodes start at once."""
        ...

    async def change(self, changes: Sequence[KeyChange], audit: AuditEvent) -> int:
        """Apply those whose state is still as decided; how many were."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """How some buckets stand: locked for `wait`, or open; `failed_before` when there is something
    to clear after a success.
    """

    wait: timedelta | None
    failed_before: bool


class Attempts(Protocol):
    """Guessable attempts, counted in Postgres.

    A login asks how its buckets stand before the password is looked at, counts a failure, and
    asks again before a success is redeemed: whoever races a lock with right and wrong guesses
    alike finds it closed. (Counting before the check would turn away honest logins in parallel.)
    """

    async def standing(self, buckets: Sequence["AttemptBucket"], now: datetime) -> Standing:
        """How the buckets stand; counts nothing."""
        ...

    async def reserve(self, buckets: Sequence["AttemptBucket"], now: datetime) -> timedelta | None:
        """Count one attempt in each bucket, committed; when one is (or becomes) locked, the time
        until it opens again, and no attempt may be made."""
        ...

    async def clear(self, buckets: Sequence["AttemptBucket"]) -> None:
        """The attempt was good: give it back (its own bucket is emptied when `reset`)."""
        ...

    async def unlock(self, prefix: bytes, audit: AuditEvent) -> None:
        """Forget every bucket whose key begins with `prefix`; writes the audit row with it."""
        ...


@dataclass(frozen=True, slots=True)
class AttemptBucket:
    """`key` is a keyed hash; at most `limit` failures per `window`, then locked for `lock`.

    Buckets that are unlocked together have keys with a common prefix.
    """

    key: bytes
    limit: int
    window: timedelta
    lock: timedelta
    reset: bool = True


# --- crypto -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AuthenticSession:
    """A session token whose MAC was right."""

    kind: TokenKind
    lookup_id: UUID
    generation: int
    mint_kid: str


class SessionMint(Protocol):
    """Makes and authenticates session tokens; nothing of them is stored."""

    def active_kid(self) -> str: ...

    def token(self, kind: TokenKind, lookup_id: UUID, generation: int, mint_kid: str) -> str: ...

    def exchange_claim(self, lookup_id: UUID, generation: int, mint_kid: str) -> bytes:
        """The `xt` claim of a rolling token."""
        ...

    def authenticate(self, token: str) -> AuthenticSession:
        """Accepts session tokens and rolling JWTs (by `xt`, whatever their expiry). Raises
        TOKEN_MALFORMED, TOKEN_UNKNOWN (bad MAC, unknown key) or TOKEN_REVOKED (compromised
        mint key). Touches no store."""
        ...


class AccessTokens(Protocol):
    """Makes and authenticates access tokens."""

    def sign_jwt(self, facts: Facts, algorithm: str, exchange_claim: bytes = b"") -> str:
        """A JWT with `facts`; `facts.key_id` is ignored, the active key of `algorithm` (the
        default algorithm when empty) signs."""
        ...

    def seal_opaque(self, access: OpaqueAccess) -> str:
        """An opaque access token; `access.key_id` and its MAC are filled in."""
        ...

    def authenticate_jwt(self, token: str) -> Facts:
        """Strict parse and signature check; no time, no trust. Raises tokenservice.core's
        MalformedToken or UnknownToken."""
        ...

    def authenticate_opaque(self, token: str) -> OpaqueAccess:
        """Checksum and MAC. Raises MalformedToken or UnknownToken."""
        ...


class Secrets(Protocol):
    """Client and registration secrets: made, hashed under a pepper, compared."""

    def make(self, code: str, context: bytes) -> tuple[str, bytes, str]:
        """(secret, hash, pepper id). Derived from `context` and a pepper, so the same request
        gives the same secret again while that pepper is the active one."""
        ...

    def hash(self, code: str, secret: str, pepper_id: str) -> bytes | None:
        """None when the pepper is not known (any more). Raises MalformedToken."""
        ...

    def active_pepper(self) -> str: ...

    def bucket(self, *parts: str) -> bytes:
        """A stable keyed hash for limiter buckets (independent of pepper rotation)."""
        ...


class PasswordHasher(Protocol):
    """Argon2id in a bounded pool. Raises OVERLOADED when the queue is full."""

    async def hash(self, password: str) -> str: ...

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """None as the hash (unknown user) takes the same time and is False."""
        ...

    def outdated(self, password_hash: str) -> bool: ...


class KeyMaterial(Protocol):
    """Makes key records and holds the usable halves of all keys in memory."""

    def generate(
        self,
        purpose: KeyPurpose,
        algorithm: str,
        state: KeyState,
        now: datetime,
        activates_at: datetime,
    ) -> Key: ...

    def load(self, keys: Sequence[Key]) -> None:
        """Replace the keys in memory. Raises ValueError when one cannot be unsealed."""
        ...

    def public_keys(self) -> tuple[TrustKey, ...]:
        """What validators are told of the keys in memory."""
        ...


class CoarseLimiter(Protocol):
    """GCRA in Redis: a cheap front of the limits counted in Postgres."""

    async def allow(self, key: bytes, per_minute: int, burst: int) -> timedelta | None:
        """None: go on (also when Redis does not answer); else the time to wait."""
        ...
