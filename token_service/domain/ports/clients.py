"""Clients: where they and their secrets are kept."""

from datetime import datetime
from typing import Protocol

from token_service.domain.audit import AuditEvent
from token_service.domain.clients.client import Client, ClientSecret
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.kinds import ClientState


class ClientStore(Protocol):
    """Registered applications. Every change writes its audit row in the same transaction and
    bumps the configuration version that nodes' caches follow."""

    async def get(self, client_id: str) -> tuple[Client, int] | None:
        """The client with its secrets' hashes, and the configuration version, in one snapshot."""
        ...

    async def page(
        self, state: ClientState | None, page_size: int, page_token: str
    ) -> tuple[tuple[Client, ...], str]: ...

    async def insert(
        self, client: Client, audit: AuditEvent, *, over_rejected: bool = False
    ) -> bool:
        """False when the client id is taken; `over_rejected` takes the place of a client that was
        REJECTED."""
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
