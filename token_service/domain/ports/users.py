"""Users and roles: where they are kept."""

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from token_service.domain.audit import AuditEvent
from token_service.domain.users.user import User


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
