"""`token-service user`: the people who log in, and their roles."""

from typing import Annotated

import typer

from token_service.cli import inputs
from token_service.cli.api import Api
from token_service.cli.command import api_command, group
from token_service.cli.naming import find_user, user_id_of
from token_service.cli.paging import all_pages
from tokenservice.v1 import user_service_pb2 as pb

app = group("Administer users and roles.")

Who = Annotated[str, typer.Argument(metavar="USER", help="Name or id of the user.")]
Note = Annotated[str, typer.Option(help="For the audit record.")]

_COLUMNS = ("user_id", "username", "state", "roles", "created_at")


@api_command(app, "create")
def create(
    api: Api,
    username: Annotated[str, typer.Argument(help="Name to log in with.")],
    role: Annotated[list[str] | None, typer.Option("--role", help="May be repeated.")] = None,
    password_file: inputs.PasswordSource = None,
) -> None:
    """Create a user who can log in at once."""
    password = inputs.read_password(password_file, confirm=True)
    request = pb.CreateUserRequest(username=username, password=password, roles=role or [])
    api.out.message(api.call(api.users.CreateUser, request).user)


@api_command(app, "list")
def list_users(api: Api) -> None:
    """List all users."""

    def page(token: str) -> tuple[list[pb.User], str]:
        reply = api.call(api.users.ListUsers, pb.ListUsersRequest(page_size=500, page_token=token))
        return list(reply.users), reply.next_page_token

    api.out.messages(all_pages(page), _COLUMNS)


@api_command(app, "show")
def show(api: Api, user: Who) -> None:
    """Show one user."""
    api.out.message(find_user(api, user))


@api_command(app, "password")
def password(api: Api, user: Who, password_file: inputs.PasswordSource = None) -> None:
    """Set a user's password. The former one and all sessions of the user end at once."""
    user_id = user_id_of(api, user)
    new = inputs.read_password(password_file, "New password", confirm=True)
    request = pb.SetPasswordRequest(user_id=user_id, new_password=new)
    api.out.message(api.call(api.users.SetPassword, request))
    api.out.note("the former password is refused from now on, and the user's sessions have ended")


@api_command(app, "disable")
def disable(api: Api, user: Who, note: Note = "") -> None:
    """Keep a user out and revoke what they have."""
    request = pb.DisableUserRequest(user_id=user_id_of(api, user), note=note)
    api.out.message(api.call(api.users.DisableUser, request))


@api_command(app, "enable")
def enable(api: Api, user: Who, note: Note = "") -> None:
    """Let a disabled user log in again, with the password as it was."""
    request = pb.EnableUserRequest(user_id=user_id_of(api, user), note=note)
    api.out.message(api.call(api.users.EnableUser, request).user)


@api_command(app, "delete")
def delete(
    api: Api,
    user: Who,
    note: Note = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete a user and revoke what they have."""
    found = find_user(api, user)
    inputs.confirm(f"Delete the user {found.username}?", yes=yes)
    request = pb.DeleteUserRequest(user_id=found.user_id, note=note)
    api.out.message(api.call(api.users.DeleteUser, request))


@api_command(app, "unlock")
def unlock(api: Api, user: Who, note: Note = "") -> None:
    """Lift the lock that wrong passwords put on a user."""
    request = pb.UnlockUserRequest(user_id=user_id_of(api, user), note=note)
    api.out.message(api.call(api.users.UnlockUser, request).user)


@api_command(app, "roles")
def roles(
    api: Api,
    user: Who,
    role: Annotated[list[str] | None, typer.Argument(help="All roles from now on.")] = None,
    note: Note = "",
) -> None:
    """Replace a user's roles; naming none takes all away."""
    request = pb.SetRolesRequest(user_id=user_id_of(api, user), roles=role or [], note=note)
    api.out.message(api.call(api.users.SetRoles, request))


@api_command(app, "role-define")
def role_define(
    api: Api,
    role: Annotated[str, typer.Argument(help="Name of the role.")],
    scope: Annotated[list[str] | None, typer.Argument(help="All its scopes from now on.")] = None,
    note: Note = "",
) -> None:
    """Create a role, or replace its scopes."""
    request = pb.DefineRoleRequest(role=role, scopes=scope or [], note=note)
    api.out.message(api.call(api.users.DefineRole, request))


@api_command(app, "role-list")
def role_list(api: Api) -> None:
    """List all roles and their scopes."""

    def page(token: str) -> tuple[list[pb.Role], str]:
        reply = api.call(api.users.ListRoles, pb.ListRolesRequest(page_size=500, page_token=token))
        return list(reply.roles), reply.next_page_token

    api.out.messages(all_pages(page), ("role", "scopes"))
