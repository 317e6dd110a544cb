"""Users and roles, composed."""

from dataclasses import dataclass

from token_service.app.parts import Parts
from token_service.app.usecases.shared import Shared
from token_service.usecases.users.administration import CreateUser, UserAdministration
from token_service.usecases.users.roles import RoleAdministration
from token_service.usecases.users.set_password import SetPassword


@dataclass(frozen=True, slots=True)
class UserUseCases:
    """Users are created and changed, and set their passwords."""

    create: CreateUser
    set_password: SetPassword
    administration: UserAdministration
    roles: RoleAdministration


def users(parts: Parts, shared: Shared) -> UserUseCases:
    """Compose them."""
    return UserUseCases(
        create=CreateUser(
            users=parts.users,
            hasher=parts.hasher,
            clock=parts.clock,
            random=parts.random,
            shield=parts.shield,
        ),
        set_password=SetPassword(
            users=parts.users,
            access=shared.access,
            hasher=parts.hasher,
            trust=parts.trust,
            clock=parts.clock,
            shield=parts.shield,
        ),
        administration=UserAdministration(
            users=parts.users,
            attempts=parts.attempts,
            secrets=parts.secrets,
            trust=parts.trust,
            clock=parts.clock,
            shield=parts.shield,
        ),
        roles=RoleAdministration(
            users=parts.users, trust=parts.trust, clock=parts.clock, shield=parts.shield
        ),
    )
