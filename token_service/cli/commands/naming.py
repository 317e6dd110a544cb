"""Users and clients as people name them: by name or by id."""

from typing import TYPE_CHECKING
from uuid import UUID

from token_service.cli.calling.api import PAGE, Api
from token_service.cli.problems import CliError
from tokenservice import User

if TYPE_CHECKING:
    from tokenservice import TokenServiceError


def find_user(api: Api, user: str) -> User:
    """Fetch a user by name or id. Raises TokenServiceError."""
    if is_id(user):
        return api.run(api.users.get_user(user_id=user, timeout=api.timeout))
    return api.run(api.users.get_user(username=user, timeout=api.timeout))


def user_id_of(api: Api, user: str) -> str:
    """Return the id of the user with this name or id. Raises TokenServiceError."""
    return user if is_id(user) else find_user(api, user).user_id


def subject_of(api: Api, subject: str) -> str:
    """Return the subject that is meant: a user by name or id, else a client by its id.

    What names nobody is returned as it is: the service says so, also to callers that may not look
    users up.
    """
    from tokenservice import TokenServiceError

    if is_id(subject):
        return subject
    try:
        user = find_user(api, subject)
    except TokenServiceError as error:
        if not _require_unresolved(api, error, "user names need the permission admin.users"):
            api.out.note(f"no user is called {subject}: taken for the id of a client")
        return subject
    api.out.note(f"{user.username} is the user {user.user_id}")
    return user.user_id


def client_id_of(api: Api, client: str) -> str:
    """Return the id of the client with this id or name, like `subject_of`. Raises CliError for a
    name that several have."""
    from tokenservice import TokenServiceError

    try:
        return api.run(api.clients.get_client(client, timeout=api.timeout)).client_id
    except TokenServiceError as error:
        if _require_unresolved(api, error, "client names need the permission admin.clients"):
            return client
    clients = api.all(api.clients.list_clients(page_size=PAGE, timeout=api.timeout))
    ids = [one.client_id for one in clients if one.name.casefold() == client.casefold()]
    if len(ids) > 1:
        raise CliError(f"several clients are called {client}, say which: {', '.join(ids)}")
    if not ids:
        return client
    api.out.note(f"{client} is the client {ids[0]}")
    return ids[0]


def is_id(text: str) -> bool:
    """Whether this is an id of a user or session, as the service writes them."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _require_unresolved(api: Api, error: "TokenServiceError", needed: str) -> bool:
    """Whether the caller may not look names up; raises any error but "there is nobody"."""
    from tokenservice import Reason

    if error.reason is Reason.PERMISSION_MISSING:
        api.out.note(f"taken for an id: {needed}")
        return True
    nobody = (Reason.USER_NOT_FOUND, Reason.CLIENT_NOT_FOUND, Reason.FIELD_INVALID)
    if error.reason not in nobody:
        raise error
    return False
