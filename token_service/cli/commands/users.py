"""`token-service user`: the people who log in, and their roles."""

from typing import Annotated

import typer

from token_service.cli import inputs
from token_service.cli.calling.api import PAGE, Api
from token_service.cli.command import api_command, group
from token_service.cli.commands.naming import find_user, user_id_of

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
    api.out.value(
        api.run(api.users.create_user(username, password, roles=role or (), timeout=api.timeout))
    )


@api_command(app, "list")
def list_users(api: Api) -> None:
    """List all users."""
    users = api.all(api.users.list_users(page_size=PAGE, timeout=api.timeout))
    api.out.values(users, _COLUMNS)


@api_command(app, "show")
def show(api: Api, user: Who) -> None:
    """Show one user."""
    api.out.value(find_user(api, user))


@api_command(app, "password")
def password(api: Api, user: Who, password_file: inputs.PasswordSource = None) -> None:
    """Set a user's password. The former one and all sessions of the user end at once."""
    user_id = user_id_of(api, user)
    new = inputs.read_password(password_file, "New password", confirm=True)
    api.out.value(api.run(api.users.set_password(new, user_id=user_id, timeout=api.timeout)))
    api.out.note("the former password is refused from now on, and the user's sessions have ended")


@api_command(app, "disable")
def disable(api: Api, user: Who, note: Note = "") -> None:
    """Keep a user out and revoke what they have."""
    user_id = user_id_of(api, user)
    api.out.value(api.run(api.users.disable_user(user_id, note=note, timeout=api.timeout)))


@api_command(app, "enable")
def enable(api: Api, user: Who, note: Note = "") -> None:
    """Let a disabled user log in again, with the password as it was."""
    user_id = user_id_of(api, user)
    api.out.value(api.run(api.users.enable_user(user_id, note=note, timeout=api.timeout)))


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
    api.out.value(api.run(api.users.delete_user(found.user_id, note=note, timeout=api.timeout)))


@api_command(app, "unlock")
def unlock(api: Api, user: Who, note: Note = "") -> None:
    """Lift the lock that wrong passwords put on a user."""
    user_id = user_id_of(api, user)
    api.out.value(api.run(api.users.unlock_user(user_id, note=note, timeout=api.timeout)))


@api_command(app, "roles")
def roles(
    api: Api,
    user: Who,
    role: Annotated[list[str] | None, typer.Argument(help="All roles from now on.")] = None,
    note: Note = "",
) -> None:
    """Replace a user's roles; naming none takes all away."""
    user_id = user_id_of(api, user)
    api.out.value(api.run(api.users.set_roles(user_id, role or (), note=note, timeout=api.timeout)))


@api_command(app, "role-define")
def role_define(
    api: Api,
    role: Annotated[str, typer.Argument(help="Name of the role.")],
    scope: Annotated[list[str] | None, typer.Argument(help="All its scopes from now on.")] = None,
    note: Note = "",
) -> None:
    """Create a role, or replace its scopes."""
    api.out.value(api.run(api.users.define_role(role, scope or (), note=note, timeout=api.timeout)))


@api_command(app, "role-list")
def role_list(api: Api) -> None:
    """List all roles and their scopes."""
    roles = api.all(api.users.list_roles(page_size=PAGE, timeout=api.timeout))
    api.out.values(roles, ("role", "scopes"))
