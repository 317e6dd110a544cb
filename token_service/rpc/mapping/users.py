"""UserService messages to domain values and back."""

from collections.abc import Iterable
from uuid import UUID

from token_service.domain.errors import invalid_field
from token_service.domain.login.passwords import new_password
from token_service.domain.users.user import User
from token_service.rpc.mapping import checks
from token_service.rpc.mapping.tokens import timestamp
from token_service.usecases.names import new_username
from token_service.usecases.users.administration import FoundUser, NewUser
from token_service.usecases.users.roles import Role
from tokenservice.core.limits import MAX_SCOPE_LENGTH, MAX_SCOPES, MAX_USER_ROLES, ROLE
from tokenservice.v1 import user_service_pb2 as pb


def new_user(message: pb.CreateUserRequest) -> NewUser:
    """Check and map a CreateUser."""
    return NewUser(
        username=new_username(message.username),
        password=new_password(message.password),
        roles=roles(message.roles),
    )


def user_id(value: str) -> UUID:
    """A user id: required."""
    return checks.uuid(value, "user_id")


def roles(values: Iterable[str]) -> tuple[str, ...]:
    """A list of role names."""
    listed = list(values)
    if len(listed) > MAX_USER_ROLES:
        raise invalid_field("roles", f"must have at most {MAX_USER_ROLES} entries")
    return tuple(role_name(value, f"roles[{index}]") for index, value in enumerate(listed))


def role_name(value: str, field: str = "role") -> str:
    """A role's name."""
    if ROLE.fullmatch(value) is None:
        raise invalid_field(field, f"must match {ROLE.pattern}")
    return value


def role_scopes(values: Iterable[str]) -> tuple[str, ...]:
    """A role's scopes."""
    return checks.names(values, "scopes", at_most=MAX_SCOPES, longest=MAX_SCOPE_LENGTH)


def user_message(user: User) -> pb.User:
    """Map a user; neither password nor versions are shown."""
    active = user.disabled_at is None
    return pb.User(
        user_id=str(user.user_id),
        username=user.username,
        state=pb.USER_STATE_ACTIVE if active else pb.USER_STATE_DISABLED,
        roles=sorted(user.roles),
        created_at=timestamp(user.created_at),
        updated_at=timestamp(user.updated_at),
        disabled_at=timestamp(user.disabled_at) if user.disabled_at else None,
    )


def found_user_message(found: FoundUser) -> pb.User:
    """Map a user with the locks."""
    locks = found.locks
    message = user_message(found.user)
    attempts = message.login_attempts
    attempts.failed, attempts.locked_addresses = locks.failures, locks.locked_addresses
    if locks.locked_until is not None:
        attempts.locked_until.CopyFrom(timestamp(locks.locked_until))
    if locks.addresses_locked_until is not None:
        attempts.addresses_locked_until.CopyFrom(timestamp(locks.addresses_locked_until))
    return message


def role_message(role: Role) -> pb.Role:
    """Map a role."""
    return pb.Role(role=role.name, scopes=role.scopes)
