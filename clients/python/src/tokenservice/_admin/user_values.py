"""What UserService gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class UserState(IntEnum):
    """Whether a user may log in."""

    UNSPECIFIED = 0
    ACTIVE = 1
    DISABLED = 2


@dataclass(frozen=True, slots=True)
class LoginAttempts:
    """Failed logins as one user within the time in which they are counted, and the locks that they
    brought about: of the user from anywhere, and of addresses for this user alone."""

    failed: int
    locked_until: datetime | None
    locked_addresses: int
    addresses_locked_until: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as administrators see it.

    ``user_id`` is the subject of the user's tokens. ``disabled_at`` is None while active. Only
    ``get_user`` tells the ``login_attempts``.
    """

    user_id: str
    username: str
    state: UserState
    roles: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    disabled_at: datetime | None
    login_attempts: LoginAttempts | None


@dataclass(frozen=True, slots=True)
class ChangedUser:
    """A user after a change, and the revision of the trust log that holds what it revoked."""

    user: User
    revision: int


@dataclass(frozen=True, slots=True)
class Role:
    """A named set of scopes, sorted."""

    role: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangedRole:
    """A role after a change, and the revision of the trust log after it."""

    role: Role
    revision: int
