"""A user of our own store."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user of our own store. `version` moves with roles and state, `credential_version` with
    the password. `scopes` is what the roles map to when it was read."""

    user_id: UUID
    username: str
    password_hash: str = field(repr=False)
    credential_version: int
    roles: tuple[str, ...]
    scopes: frozenset[str]
    version: int
    disabled_at: datetime | None
    valid_rev: int
    created_at: datetime
    updated_at: datetime
