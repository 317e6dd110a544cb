"""Clients, users, keys and counted attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from token_service.domain.kinds import ClientState, KeyState
from token_service.domain.policy import ClientPolicy
from token_service.domain.records import (
    AuditEvent,
    Client,
    ClientSecret,
    Key,
    User,
)


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
        former: ClientPolicy | None = None,
    ) -> bool:
        """Add a secret, if the client's policy is still `former` (None: whatever it is).

        With `old_expires_at` the other live ones end then at the latest (rotation, ACTIVE
        clients); without it every unused one is replaced (collect: APPROVED or ACTIVE and none
        used yet). False when the client's state does not allow it or its policy is another one.
        The same `request_hash` again changes nothing and is True."""
        ...

    async def mark_used(self, client_id: str, secret_hash: bytes, now: datetime) -> None:
        """First use of a secret: sets first_used_at and uses up the registration secret."""
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
        self,
        client_id: str,
        enabled: bool,
        audit: AuditEvent,
        *,
        former: ClientPolicy | None = None,
    ) -> tuple[Client, int] | None:
        """Disable (valid_rev and a REVOKE entry in the same transaction, then the descendants of
        its sessions in as many as it takes) or enable, if the policy is still `former` (None:
        whatever it is). Returns as update_policy does."""
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

    async def reserve(
        self,
        buckets: Sequence["AttemptBucket"],
        now: datetime,
        audit: AuditEvent | None = None,
    ) -> timedelta | None:
        """Count one attempt in each bucket, committed; when one is (or becomes) locked, the time
        until it opens again, and no attempt may be made.

        `audit` is written with the count where that is worth a row: the first and every tenth, up
        to a hundred in a window, in a bucket that is `noted`, and what fills any bucket. Its
        details then end with the counts by the buckets' names."""
        ...

    async def locks(self, prefix: bytes, now: datetime) -> "LoginLocks":
        """What was counted in the bucket `prefix` and in those whose keys begin with it."""
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

    Buckets that are unlocked together have keys with a common prefix. `name` is what audit rows
    call it; `noted` ones leave a row now and then before they are full.
    """

    key: bytes
    limit: int
    window: timedelta
    lock: timedelta
    reset: bool = True
    name: str = "attempts"
    noted: bool = False


@dataclass(frozen=True, slots=True)
class LoginLocks:
    """Failed logins of one user: how many from anywhere, until when nobody is let in as the user,
    and how many addresses are kept out for this user alone, the last of them until when."""

    failures: int = 0
    locked_until: datetime | None = None
    locked_addresses: int = 0
    addresses_locked_until: datetime | None = None
