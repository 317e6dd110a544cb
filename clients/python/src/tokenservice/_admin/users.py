"""The calls of UserService, with plain values.

::

    users = UserAdmin(connection)
    await users.define_role("orders-desk", ["orders.read", "orders.write"])
    user = await users.create_user("alice", password, roles=["orders-desk"])
    async for user in users.list_users():
        ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenservice import _messages as messages
from tokenservice._admin.messages import value
from tokenservice._admin.user_values import ChangedRole, ChangedUser, Role, User
from tokenservice._transport import calls
from tokenservice._transport.service_client import ServiceClient
from tokenservice.v1 import user_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta

    from tokenservice._listing import Listing


class UserAdmin(ServiceClient):
    """Administers users and their roles; needs the permission admin.users.

    Calls that let somebody in, or that replace something, are sent once: a retry could undo what
    somebody else did in between.
    """

    async def create_user(
        self,
        username: str,
        password: str,
        *,
        roles: Collection[str] = (),
        timeout: timedelta | None = None,
    ) -> User:
        """Create a user who can log in at once. Reasons include USER_EXISTS and ROLE_NOT_FOUND."""
        with messages.sendable():
            request = pb.CreateUserRequest(
                username=username, password=password, roles=messages.names(roles)
            )
        reply = await self._calls.call(
            lambda stubs: stubs.users.CreateUser, request, calls.ONCE, timeout
        )
        return value(User, reply.user)

    async def set_password(
        self,
        new_password: str,
        *,
        user_id: str | None = None,
        session_token: str | None = None,
        timeout: timedelta | None = None,
    ) -> ChangedUser:
        """Set a password: as an administrator by ``user_id``, which ends all of the user's
        sessions, or as the user by their ``session_token``, which ends all others.

        The session must be the caller's own (permission tokens.exchange), its login at most 10
        minutes old (STEP_UP_REQUIRED); its token is not consumed. Raises ValueError unless exactly
        one of the two is given.
        """
        if (user_id is None) == (session_token is None):
            raise ValueError("either user_id or session_token is due")
        with messages.sendable():
            request = pb.SetPasswordRequest(new_password=new_password)
            if user_id is not None:
                request.user_id = user_id
            elif session_token is not None:
                request.session_token = messages.presented(session_token)
        reply = await self._calls.call(
            lambda stubs: stubs.users.SetPassword, request, calls.ONCE, timeout
        )
        return value(ChangedUser, reply)

    async def disable_user(
        self, user_id: str, *, note: str = "", timeout: timedelta | None = None
    ) -> ChangedUser:
        """Keep a user out and revoke every session and token; of a disabled user it is no error."""
        with messages.sendable():
            request = pb.DisableUserRequest(user_id=user_id, note=note)
        reply = await self._calls.call(
            lambda stubs: stubs.users.DisableUser, request, calls.END_MANY, timeout
        )
        return value(ChangedUser, reply)

    async def enable_user(
        self, user_id: str, *, note: str = "", timeout: timedelta | None = None
    ) -> User:
        """Let a disabled user log in again; what was revoked stays revoked."""
        with messages.sendable():
            request = pb.EnableUserRequest(user_id=user_id, note=note)
        reply = await self._calls.call(
            lambda stubs: stubs.users.EnableUser, request, calls.ONCE, timeout
        )
        return value(User, reply.user)

    async def delete_user(
        self, user_id: str, *, note: str = "", timeout: timedelta | None = None
    ) -> ChangedUser:
        """Delete a user and revoke every session and token; gives the user as they last were.

        Sent once: a retry would find nobody (USER_NOT_FOUND).
        """
        with messages.sendable():
            request = pb.DeleteUserRequest(user_id=user_id, note=note)
        reply = await self._calls.call(
            lambda stubs: stubs.users.DeleteUser, request, calls.ONCE, timeout
        )
        return value(ChangedUser, reply)

    async def get_user(
        self,
        user_id: str | None = None,
        *,
        username: str | None = None,
        timeout: timedelta | None = None,
    ) -> User:
        """Fetch a user by id or by name, with failed logins and locks (USER_NOT_FOUND).

        Raises ValueError unless exactly one of the two is given.
        """
        if (user_id is None) == (username is None):
            raise ValueError("either user_id or username is due")
        with messages.sendable():
            request = pb.GetUserRequest()
            if user_id is not None:
                request.user_id = user_id
            elif username is not None:
                request.username = username
        reply = await self._calls.call(
            lambda stubs: stubs.users.GetUser, request, calls.READ, timeout
        )
        return value(User, reply.user)

    def list_users(
        self, *, page_size: int = 0, page_token: str = "", timeout: timedelta | None = None
    ) -> Listing[User]:
        """List users in the order of their names.

        ``page_size`` is at most 500; 0 means 50. ``timeout`` is for each page.
        """
        return self._calls.listing(
            lambda stubs: stubs.users.ListUsers,
            lambda token: pb.ListUsersRequest(page_size=page_size, page_token=token),
            lambda reply: (value(User, one) for one in reply.users),
            page_token,
            timeout,
        )

    async def unlock_user(
        self, user_id: str, *, note: str = "", timeout: timedelta | None = None
    ) -> User:
        """Lift the lock that wrong passwords put on a user; of one not locked it is no error."""
        with messages.sendable():
            request = pb.UnlockUserRequest(user_id=user_id, note=note)
        reply = await self._calls.call(
            lambda stubs: stubs.users.UnlockUser, request, calls.ONCE, timeout
        )
        return value(User, reply.user)

    async def set_roles(
        self,
        user_id: str,
        roles: Collection[str],
        *,
        note: str = "",
        timeout: timedelta | None = None,
    ) -> ChangedUser:
        """Replace a user's roles; none takes all away. Reasons include ROLE_NOT_FOUND."""
        with messages.sendable():
            request = pb.SetRolesRequest(user_id=user_id, roles=messages.names(roles), note=note)
        reply = await self._calls.call(
            lambda stubs: stubs.users.SetRoles, request, calls.ONCE, timeout
        )
        return value(ChangedUser, reply)

    async def define_role(
        self,
        role: str,
        scopes: Collection[str],
        *,
        note: str = "",
        timeout: timedelta | None = None,
    ) -> ChangedRole:
        """Create a role, or replace its scopes."""
        with messages.sendable():
            request = pb.DefineRoleRequest(role=role, scopes=messages.names(scopes), note=note)
        reply = await self._calls.call(
            lambda stubs: stubs.users.DefineRole, request, calls.ONCE, timeout
        )
        return value(ChangedRole, reply)

    def list_roles(
        self, *, page_size: int = 0, page_token: str = "", timeout: timedelta | None = None
    ) -> Listing[Role]:
        """List roles in the order of their names; otherwise as :meth:`list_users`."""
        return self._calls.listing(
            lambda stubs: stubs.users.ListRoles,
            lambda token: pb.ListRolesRequest(page_size=page_size, page_token=token),
            lambda reply: (value(Role, one) for one in reply.roles),
            page_token,
            timeout,
        )
