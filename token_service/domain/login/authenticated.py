"""Who logged in, and how that was proven."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from token_service.domain.kinds import Amr


@dataclass(frozen=True, slots=True)
class Versions:
    """What the check of a credential read. A login is finished only on what is still the same: it
    loses against a disabled user, other roles, and a new password.

    `config` is None where nothing of the configuration was read. `attempt_bucket` counts the
    account's failures; it must not be locked meanwhile.
    """

    config: int | None = None
    user: int = 0
    credential: int = 0
    attempt_bucket: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """Whose session it becomes, and how that was proven: what every kind of credential comes to.

    `scopes` is what the user may have at most. `user_id` and `scopes` are None for a session of
    the client itself.
    """

    acr: int
    amr: Amr
    auth_time: datetime
    user_id: UUID | None = None
    roles: tuple[str, ...] = ()
    scopes: frozenset[str] | None = None
    versions: Versions = Versions()
