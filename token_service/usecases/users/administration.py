"""Users as administrators see and change them."""

from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from token_service.domain.audit import AuditEvent
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission
from token_service.domain.login.passwords import canonical_username, new_password
from token_service.domain.ports import (
    Attempts,
    Clock,
    LoginLocks,
    PasswordHasher,
    Randomness,
    Secrets,
    Trust,
    UserStore,
)
from token_service.domain.users.user import User
from token_service.usecases.login.passwords import account_bucket
from token_service.usecases.names import new_username
from token_service.usecases.shielding import Shield


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to create. The roles must exist."""

    username: str
    password: str = field(repr=False)
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangedUser:
    """The user as it is now, and the trust revision from which the change holds."""

    user: User
    revision: int


@dataclass(frozen=True, slots=True)
class FoundUser:
    """A user, and what failed logins brought about."""

    user: User
    locks: LoginLocks


class CreateUser:
    """Raises PERMISSION_MISSING, FIELD_INVALID, USER_EXISTS, ROLE_NOT_FOUND and OVERLOADED."""

    def __init__(
        self,
        users: UserStore,
        hasher: PasswordHasher,
        clock: Clock,
        random: Randomness,
        shield: Shield,
    ) -> None:
        self._users = users
        self._hasher = hasher
        self._clock = clock
        self._random = random
        self._shield = shield

    async def __call__(self, caller: Caller, request: NewUser) -> User:
        """Create a user who can log in at once."""
        caller.require(Permission.ADMIN_USERS)
        username = new_username(request.username)
        password = new_password(request.password)
        if await self._users.by_username(username) is not None:
            raise _exists()  # before the work of hashing; the insert decides
        password_hash = await self._hasher.hash(password)
        now = self._clock.now()
        user = User(
            user_id=self._random.uuid(),
            username=username,
            password_hash=password_hash,
            credential_version=1,
            roles=tuple(sorted(set(request.roles))),
            scopes=frozenset(),
            version=1,
            disabled_at=None,
            valid_rev=0,
            created_at=now,
            updated_at=now,
        )
        user_id = str(user.user_id)
        roles = " ".join(user.roles)
        audit = caller.audit(
            now, "user.create", target=user_id, subject=user_id, details=f"roles={roles}"
        )
        if not await self._shield.run(self._users.insert(user, audit)):
            raise _exists()
        return user


class UserAdministration:
    """Every method needs admin.users; changes raise USER_NOT_FOUND."""

    def __init__(
        self,
        *,
        users: UserStore,
        attempts: Attempts,
        secrets: Secrets,
        trust: Trust,
        clock: Clock,
        shield: Shield,
    ) -> None:
        self._users = users
        self._attempts = attempts
        self._secrets = secrets
        self._trust = trust
        self._clock = clock
        self._shield = shield

    async def get(self, caller: Caller, user_id: UUID) -> FoundUser:
        """One user by id. Raises USER_NOT_FOUND."""
        caller.require(Permission.ADMIN_USERS)
        return await self._with_locks(await require_user(self._users, user_id))

    async def get_by_name(self, caller: Caller, username: str) -> FoundUser:
        """One user by name, however it is spelled. Raises USER_NOT_FOUND and FIELD_INVALID."""
        caller.require(Permission.ADMIN_USERS)
        found = await self._users.by_username(canonical_username(username))
        if found is None:
            raise user_not_found()
        return await self._with_locks(found[0])

    async def _with_locks(self, user: User) -> FoundUser:
        bucket = account_bucket(self._secrets, user.username)
        return FoundUser(user, await self._attempts.locks(bucket, self._clock.now()))

    async def page(
        self, caller: Caller, page_size: int, page_token: str
    ) -> tuple[tuple[User, ...], str]:
        """Users in the order of their names, and the next page's token ("" on the last)."""
        caller.require(Permission.ADMIN_USERS)
        return await self._users.page(page_size, page_token)

    async def disable(self, caller: Caller, user_id: UUID, note: str) -> ChangedUser:
        """No login succeeds from now on, and every session and token is revoked."""
        audit = self._audit(caller, "user.disable", user_id, note)
        return await self._change(user_id, self._users.set_enabled(user_id, False, audit))

    async def enable(self, caller: Caller, user_id: UUID, note: str) -> ChangedUser:
        """Let a disabled user log in again; what was revoked stays revoked."""
        audit = self._audit(caller, "user.enable", user_id, note)
        return await self._change(user_id, self._users.set_enabled(user_id, True, audit))

    async def set_roles(
        self, caller: Caller, user_id: UUID, roles: tuple[str, ...], note: str
    ) -> ChangedUser:
        """Replace the roles. Where scopes are lost, access tokens in use are to be exchanged.

        Raises ROLE_NOT_FOUND too.
        """
        chosen = tuple(sorted(set(roles)))
        audit = self._audit(caller, "user.set_roles", user_id, note, f"roles={' '.join(chosen)}")
        return await self._change(user_id, self._users.set_roles(user_id, chosen, audit))

    async def delete(self, caller: Caller, user_id: UUID, note: str) -> ChangedUser:
        """Delete the user and revoke every session and token; the user as it last was."""
        audit = self._audit(caller, "user.delete", user_id, note)
        user = await require_user(self._users, user_id)
        revision = await self._shield.run(self._users.delete(user_id, audit))
        if revision is None:
            raise user_not_found()
        await self._trust.reach(revision)
        return ChangedUser(user, revision)

    async def unlock(self, caller: Caller, user_id: UUID, note: str) -> User:
        """Lift the locks that wrong passwords put on the user, from whatever address."""
        audit = self._audit(caller, "user.unlock", user_id, note)
        user = await require_user(self._users, user_id)
        bucket = account_bucket(self._secrets, user.username)
        await self._shield.run(self._attempts.unlock(bucket, audit))
        return user

    async def _change(self, user_id: UUID, change: Coroutine[Any, Any, int | None]) -> ChangedUser:
        revision = await self._shield.run(change)
        if revision is None:
            raise user_not_found()
        await self._trust.reach(revision)
        return ChangedUser(await require_user(self._users, user_id), revision)

    def _audit(
        self, caller: Caller, action: str, user_id: UUID, note: str, details: str = ""
    ) -> AuditEvent:
        """Also the check that the caller may: nothing is changed without this."""
        caller.require(Permission.ADMIN_USERS)
        subject = str(user_id)
        noted = f"{details} note={note}".lstrip() if note else details
        return caller.audit(
            self._clock.now(), action, target=subject, subject=subject, details=noted
        )


async def require_user(users: UserStore, user_id: UUID) -> User:
    """Read the user. Raises USER_NOT_FOUND."""
    user = await users.get(user_id)
    if user is None:
        raise user_not_found()
    return user


def user_not_found() -> TokenServiceError:
    """There is no such user."""
    return TokenServiceError(Reason.USER_NOT_FOUND, "no such user")


def _exists() -> TokenServiceError:
    return TokenServiceError(Reason.USER_EXISTS, "the user name is taken")
