"""Users and clients as people name them: by name or by id."""

from uuid import UUID

import grpc

from token_service.cli.api import Api
from token_service.cli.paging import all_pages
from token_service.cli.problems import CliError, refusal_of
from tokenservice.v1 import client_service_pb2, user_service_pb2

_PAGE = 500
_NOBODY = frozenset({"USER_NOT_FOUND", "CLIENT_NOT_FOUND", "FIELD_INVALID"})
_MAY_NOT_LOOK = "PERMISSION_MISSING"


def find_user(api: Api, user: str) -> user_service_pb2.User:
    """Fetch a user by name or id. Raises grpc.RpcError."""
    request = user_service_pb2.GetUserRequest()
    if is_id(user):
        request.user_id = user
    else:
        request.username = user
    return api.call(api.users.GetUser, request).user


def user_id_of(api: Api, user: str) -> str:
    """Return the id of the user with this name or id. Raises grpc.RpcError."""
    return user if is_id(user) else find_user(api, user).user_id


def subject_of(api: Api, subject: str) -> str:
    """Return the subject that is meant: a user by name or id, else a client by its id.

    What names nobody is returned as it is: the service says so, also to callers that may not look
    users up.
    """
    if is_id(subject):
        return subject
    try:
        user = find_user(api, subject)
    except grpc.RpcError as error:
        if not _require_unresolved(api, error, "user names need the permission admin.users"):
            api.out.note(f"no user is called {subject}: taken for the id of a client")
        return subject
    api.out.note(f"{user.username} is the user {user.user_id}")
    return user.user_id


def client_id_of(api: Api, client: str) -> str:
    """Return the id of the client with this id or name, like `subject_of`. Raises CliError for a
    name that several have."""
    try:
        request = client_service_pb2.GetClientRequest(client_id=client)
        return api.call(api.clients.GetClient, request).client.client_id
    except grpc.RpcError as error:
        if _require_unresolved(api, error, "client names need the permission admin.clients"):
            return client
    ids = [one.client_id for one in _clients(api) if one.name.casefold() == client.casefold()]
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


def _require_unresolved(api: Api, error: grpc.RpcError, needed: str) -> bool:
    """Whether the caller may not look names up; raises any error but "there is nobody"."""
    reason = refusal_of(error).reason
    if reason == _MAY_NOT_LOOK:
        api.out.note(f"taken for an id: {needed}")
        return True
    if reason not in _NOBODY:
        raise error
    return False


def _clients(api: Api) -> list[client_service_pb2.Client]:
    def page(token: str) -> tuple[list[client_service_pb2.Client], str]:
        request = client_service_pb2.ListClientsRequest(page_size=_PAGE, page_token=token)
        reply = api.call(api.clients.ListClients, request)
        return list(reply.clients), reply.next_page_token

    return all_pages(page)
