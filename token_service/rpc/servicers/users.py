"""UserService: administering users and roles, and users setting their password."""

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import invalid_field
from token_service.domain.login.passwords import canonical_username, new_password
from token_service.rpc.mapping import checks
from token_service.rpc.mapping import users as mapping
from token_service.rpc.mapping.tokens import note
from token_service.usecases.users.administration import ChangedUser, CreateUser, UserAdministration
from token_service.usecases.users.roles import RoleAdministration
from token_service.usecases.users.set_password import SetPassword
from tokenservice.v1 import user_service_pb2 as pb


class UserServicer:
    """Maps requests, calls the use cases, maps outcomes."""

    def __init__(
        self,
        create: CreateUser,
        set_password: SetPassword,
        users: UserAdministration,
        roles: RoleAdministration,
    ) -> None:
        self._create = create
        self._set_password = set_password
        self._users = users
        self._roles = roles

    async def create_user(
        self, caller: Caller, request: pb.CreateUserRequest
    ) -> pb.CreateUserResponse:
        """Create a user."""
        user = await self._create(caller, mapping.new_user(request))
        return pb.CreateUserResponse(user=mapping.user_message(user))

    async def set_password(
        self, caller: Caller, request: pb.SetPasswordRequest
    ) -> pb.SetPasswordResponse:
        """Set a password, by the user or by an administrator."""
        password = new_password(request.new_password, "new_password")
        changed: ChangedUser
        match request.WhichOneof("by"):
            case "session_token":
                token = checks.token(request.session_token, "session_token")
                changed = await self._set_password.by_user(caller, token, password)
            case "user_id":
                user_id = mapping.user_id(request.user_id)
                changed = await self._set_password.by_administrator(caller, user_id, password)
            case _:
                raise invalid_field("by", "must be given")
        return pb.SetPasswordResponse(
            user=mapping.user_message(changed.user), revision=changed.revision
        )

    async def disable_user(
        self, caller: Caller, request: pb.DisableUserRequest
    ) -> pb.DisableUserResponse:
        """Disable a user."""
        user_id = mapping.user_id(request.user_id)
        changed = await self._users.disable(caller, user_id, note(request.note))
        return pb.DisableUserResponse(
            user=mapping.user_message(changed.user), revision=changed.revision
        )

    async def enable_user(
        self, caller: Caller, request: pb.EnableUserRequest
    ) -> pb.EnableUserResponse:
        """Enable a user."""
        user_id = mapping.user_id(request.user_id)
        changed = await self._users.enable(caller, user_id, note(request.note))
        return pb.EnableUserResponse(user=mapping.user_message(changed.user))

    async def delete_user(
        self, caller: Caller, request: pb.DeleteUserRequest
    ) -> pb.DeleteUserResponse:
        """Delete a user."""
        user_id = mapping.user_id(request.user_id)
        changed = await self._users.delete(caller, user_id, note(request.note))
        return pb.DeleteUserResponse(
            user=mapping.user_message(changed.user), revision=changed.revision
        )

    async def get_user(self, caller: Caller, request: pb.GetUserRequest) -> pb.GetUserResponse:
        """Fetch one user."""
        match request.WhichOneof("by"):
            case "user_id":
                found = await self._users.get(caller, mapping.user_id(request.user_id))
            case "username":
                username = canonical_username(request.username)
                found = await self._users.get_by_name(caller, username)
            case _:
                raise invalid_field("by", "must be given")
        return pb.GetUserResponse(user=mapping.found_user_message(found))

    async def list_users(
        self, caller: Caller, request: pb.ListUsersRequest
    ) -> pb.ListUsersResponse:
        """List users."""
        users, next_page_token = await self._users.page(
            caller, checks.page_size(request.page_size), checks.page_token(request.page_token)
        )
        return pb.ListUsersResponse(
            users=map(mapping.user_message, users), next_page_token=next_page_token
        )

    async def unlock_user(
        self, caller: Caller, request: pb.UnlockUserRequest
    ) -> pb.UnlockUserResponse:
        """Lift a user's locks."""
        user_id = mapping.user_id(request.user_id)
        user = await self._users.unlock(caller, user_id, note(request.note))
        return pb.UnlockUserResponse(user=mapping.user_message(user))

    async def set_roles(self, caller: Caller, request: pb.SetRolesRequest) -> pb.SetRolesResponse:
        """Replace a user's roles."""
        user_id = mapping.user_id(request.user_id)
        changed = await self._users.set_roles(
            caller, user_id, mapping.roles(request.roles), note(request.note)
        )
        return pb.SetRolesResponse(
            user=mapping.user_message(changed.user), revision=changed.revision
        )

    async def define_role(
        self, caller: Caller, request: pb.DefineRoleRequest
    ) -> pb.DefineRoleResponse:
        """Create a role or replace its scopes."""
        changed = await self._roles.define(
            caller,
            mapping.role_name(request.role),
            mapping.role_scopes(request.scopes),
            note(request.note),
        )
        return pb.DefineRoleResponse(
            role=mapping.role_message(changed.role), revision=changed.revision
        )

    async def list_roles(
        self, caller: Caller, request: pb.ListRolesRequest
    ) -> pb.ListRolesResponse:
        """List roles."""
        roles, next_page_token = await self._roles.page(
            caller, checks.page_size(request.page_size), checks.page_token(request.page_token)
        )
        return pb.ListRolesResponse(
            roles=map(mapping.role_message, roles), next_page_token=next_page_token
        )
