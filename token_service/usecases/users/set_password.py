"""A new password: set by the user, who keeps the session it is set from, or by an administrator."""

from datetime import timedelta
from uuid import UUID

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission
from token_service.domain.login.passwords import new_password
from token_service.domain.ports import Clock, PasswordHasher, Trust, UserStore
from token_service.usecases.login.passwords import fresh_at
from token_service.usecases.sessions.overview import SessionAccess
from token_service.usecases.shielding import Shield
from token_service.usecases.users.administration import ChangedUser, require_user, user_not_found

MAX_AUTH_AGE = timedelta(minutes=10)
_TRIES = 3


class SetPassword:
    """Raises FIELD_INVALID for a password that is not acceptable, and OVERLOADED.

    `max_auth_age` is how old the login may be from which users change their own password.
    """

    def __init__(
        self,
        *,
        users: UserStore,
        access: SessionAccess,
        hasher: PasswordHasher,
        trust: Trust,
        clock: Clock,
        shield: Shield,
        max_auth_age: timedelta = MAX_AUTH_AGE,
    ) -> None:
        self._users = users
        self._access = access
        self._hasher = hasher
        self._trust = trust
        self._clock = clock
        self._shield = shield
        self._max_auth_age = max_auth_age

    async def by_user(self, caller: Caller, session_token: str, password: str) -> ChangedUser:
        """Set the password of the token's user and end all their sessions but this one.

        The token is checked and not consumed. Raises PERMISSION_MISSING, what SessionAccess
        raises, CREDENTIAL_NOT_ALLOWED for a session without a user, and STEP_UP_REQUIRED.
        """
        caller.require(Permission.TOKENS_EXCHANGE)
        accepted = new_password(password, "new_password")
        await self._session_of_user(caller, session_token)
        password_hash = await self._hasher.hash(accepted)
        for _ in range(_TRIES):
            # Hashing takes its time: what became of the session meanwhile is asked here, and by
            # the store once more.
            session_id, user_id = await self._session_of_user(caller, session_token)
            changed = await self._set(caller, user_id, password_hash, session_id)
            if changed is not None:
                return changed
        raise TokenServiceError(Reason.TOKEN_REVOKED, "the session was revoked")

    async def by_administrator(self, caller: Caller, user_id: UUID, password: str) -> ChangedUser:
        """Set a user's password and end all their sessions.

        Raises PERMISSION_MISSING and USER_NOT_FOUND.
        """
        caller.require(Permission.ADMIN_USERS)
        accepted = new_password(password, "new_password")
        await require_user(self._users, user_id)
        password_hash = await self._hasher.hash(accepted)
        changed = await self._set(caller, user_id, password_hash, None)
        if changed is None:
            raise user_not_found()
        return changed

    async def _session_of_user(self, caller: Caller, session_token: str) -> tuple[UUID, UUID]:
        view = await self._access.current(caller, session_token)
        session = view.session
        if session.user_id is None:
            raise TokenServiceError(Reason.CREDENTIAL_NOT_ALLOWED, "the session has no user")
        if not fresh_at(session.auth_time, self._max_auth_age, self._clock.now()):
            raise TokenServiceError(Reason.STEP_UP_REQUIRED, "the login is too old for this")
        return session.session_id, session.user_id

    async def _set(
        self, caller: Caller, user_id: UUID, password_hash: str, keep_session: UUID | None
    ) -> ChangedUser | None:
        subject = str(user_id)
        audit = caller.audit(
            self._clock.now(),
            "user.set_password",
            target=subject,
            subject=subject,
            details=f"by=user session={keep_session}" if keep_session else "by=administrator",
        )
        revision = await self._shield.run(
            self._users.set_password(user_id, password_hash, keep_session=keep_session, audit=audit)
        )
        if revision is None:
            return None
        await self._trust.reach(revision)
        return ChangedUser(await require_user(self._users, user_id), revision)
