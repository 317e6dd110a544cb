"""Who may call what: every method of the API, as nobody, as a client without the permission, and
as one with it. A new method without an expectation fails here."""

from collections.abc import AsyncGenerator, AsyncIterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from tests.rpc.echo import Clients, Settling, basic, client, failure, unary_stream, unary_unary
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission
from token_service.rpc import health, reflection
from token_service.rpc.admission import Gate
from token_service.rpc.calls.pipeline import Pipeline
from token_service.rpc.methods import snake_case
from token_service.rpc.policy_table import METHODS, Anonymous, Work
from token_service.rpc.server import PROBES, RpcServer, ServerOptions
from tokenservice.v1 import (
    client_service_pb2,
    code_service_pb2,
    key_service_pb2,
    pairing_service_pb2,
    session_service_pb2,
    token_service_pb2,
    trust_service_pb2,
    user_service_pb2,
)

SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service
    for module in (
        client_service_pb2,
        code_service_pb2,
        key_service_pb2,
        pairing_service_pb2,
        session_service_pb2,
        token_service_pb2,
        trust_service_pb2,
        user_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
)
API = {f"/{one.full_name}/{method.name}": method for one in SERVICES for method in one.methods}
STANDARD = {
    f"/{service.full_name}/{method.name}"
    for service in (health.SERVICE, *reflection.SERVICES)
    for method in service.methods
}

ANYBODY_AUTHENTICATED: frozenset[Permission] = frozenset()
"""The use case decides by the target: a client may look at itself, and rotate its own secret."""

EXPECTED: dict[str, frozenset[Permission]] = {
    "TokenService/Issue": frozenset({Permission.TOKENS_ISSUE}),
    "TokenService/Exchange": frozenset({Permission.TOKENS_EXCHANGE}),
    "TokenService/Reauthenticate": frozenset({Permission.TOKENS_EXCHANGE}),
    "TokenService/Validate": frozenset({Permission.TOKENS_VALIDATE}),
    "TokenService/BatchValidate": frozenset({Permission.TOKENS_VALIDATE}),
    "TokenService/Revoke": frozenset({Permission.TOKENS_REVOKE, Permission.TOKENS_REVOKE_ANY}),
    "TrustService/WatchTrust": frozenset({Permission.TRUST_WATCH}),
    "TrustService/GetTrust": frozenset({Permission.TRUST_WATCH}),
    "TrustService/ReportActivity": frozenset({Permission.TRUST_WATCH}),
    "SessionService/ListSessions": frozenset({Permission.SESSIONS_READ}),
    "SessionService/GetSession": frozenset({Permission.SESSIONS_READ}),
    "SessionService/RevokeSession": frozenset({Permission.TOKENS_REVOKE}),
    "SessionService/RevokeOtherSessions": frozenset({Permission.TOKENS_REVOKE}),
    **{
        f"PairingService/{step}Pairing": frozenset({Permission.PAIRING})
        for step in ("Start", "Watch", "Get", "Scan", "Approve", "Deny", "Cancel", "Collect")
    },
    "ClientService/RegisterClient": frozenset({Permission.CLIENTS_REGISTER}),
    "ClientService/ReviewClient": frozenset({Permission.ADMIN_CLIENTS}),
    "ClientService/CollectClientCredentials": frozenset({Permission.CLIENTS_REGISTER}),
    "ClientService/RotateClientSecret": ANYBODY_AUTHENTICATED,
    "ClientService/DisableClient": frozenset({Permission.ADMIN_CLIENTS}),
    "ClientService/EnableClient": frozenset({Permission.ADMIN_CLIENTS}),
    "ClientService/GetClient": ANYBODY_AUTHENTICATED,
    "ClientService/ListClients": frozenset({Permission.ADMIN_CLIENTS}),
    "ClientService/UpdateClientPolicy": frozenset({Permission.ADMIN_CLIENTS}),
    "UserService/CreateUser": frozenset({Permission.ADMIN_USERS}),
    "UserService/SetPassword": frozenset({Permission.ADMIN_USERS, Permission.TOKENS_EXCHANGE}),
    "UserService/DisableUser": frozenset({Permission.ADMIN_USERS}),
    "UserService/EnableUser": frozenset({Permission.ADMIN_USERS}),
    "UserService/DeleteUser": frozenset({Permission.ADMIN_USERS}),
    "UserService/GetUser": frozenset({Permission.ADMIN_USERS}),
    "UserService/ListUsers": frozenset({Permission.ADMIN_USERS}),
    "UserService/UnlockUser": frozenset({Permission.ADMIN_USERS}),
    "UserService/SetRoles": frozenset({Permission.ADMIN_USERS}),
    "UserService/DefineRole": frozenset({Permission.ADMIN_USERS}),
    "UserService/ListRoles": frozenset({Permission.ADMIN_USERS}),
    "KeyService/ListKeys": frozenset({Permission.ADMIN_KEYS}),
    "KeyService/RotateKey": frozenset({Permission.ADMIN_KEYS}),
    "KeyService/CompromiseKey": frozenset({Permission.ADMIN_KEYS}),
    "CodeService/IssueCode": frozenset({Permission.CODES}),
    "CodeService/RedeemCode": frozenset({Permission.CODES}),
    "CodeService/RevokeCode": frozenset({Permission.CODES}),
    "CodeService/GetCode": frozenset({Permission.CODES}),
}
ANONYMOUS_WHERE_OPEN = {
    "/tokenservice.v1.ClientService/RegisterClient",
    "/tokenservice.v1.ClientService/CollectClientCredentials",
}

REACHED = Reason.KEY_STATE
"""What the handlers here answer: the call went all the way through."""

ALL_METHODS = pytest.mark.parametrize("method", sorted(API))


def expected(method: str) -> frozenset[Permission]:
    return EXPECTED[method.removeprefix("/tokenservice.v1.")]


def holder(permission: Permission) -> str:
    return f"only.{permission.value}"


def metadata(client_id: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", basic(client_id)),)


async def _unary(caller: Caller, request: Any) -> Any:
    raise TokenServiceError(REACHED, "reached")


async def _stream(caller: Caller, request: Any) -> AsyncGenerator[Any, None]:
    if request is not None:
        raise TokenServiceError(REACHED, "reached")
    yield b""


def _handler(method: MethodDescriptor) -> Any:
    return _stream if method.server_streaming else _unary


def servicer_of(service: ServiceDescriptor) -> SimpleNamespace:
    handlers = {snake_case(method.name): _handler(method) for method in service.methods}
    return SimpleNamespace(**handlers)


async def _channel(*, open_registration: bool) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server with the whole API; one client for each permission, one for none."""
    clients = Clients()
    for permission in Permission:
        own = holder(permission)
        clients.by_authorization[basic(own)] = client(own, permission)

    async def fresh() -> None:
        return

    gate = Gate(
        authenticator=clients,
        require_fresh=fresh,
        is_fresh=lambda: True,
        open_registration=open_registration,
    )
    server = RpcServer(
        Pipeline(gate, Settling(), rate_scale=1_000),
        ServerOptions(listen="127.0.0.1:0", reflection=True, drain_delay=0.0),
        lambda: True,
    )
    for service in SERVICES:
        server.add(service, servicer_of(service))
    address = await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        yield channel
    await server.stop()


@pytest.fixture(scope="module")
async def closed() -> AsyncIterator[grpc.aio.Channel]:
    async for channel in _channel(open_registration=False):
        yield channel


@pytest.fixture(scope="module")
async def open_to_all() -> AsyncIterator[grpc.aio.Channel]:
    async for channel in _channel(open_registration=True):
        yield channel


async def outcome(channel: grpc.aio.Channel, method: str, as_whom: Any) -> str:
    if API[method].server_streaming:
        call = unary_stream(channel, method)(b"", metadata=as_whom)
        return (await failure(call.read())).reason
    return (await failure(unary_unary(channel, method)(b"", metadata=as_whom))).reason


def test_every_method_has_a_row_and_every_row_a_method() -> None:
    assert set(METHODS) == set(API) | STANDARD


def test_every_method_has_an_expectation() -> None:
    assert {f"/tokenservice.v1.{name}" for name in EXPECTED} == set(API)


@ALL_METHODS
async def test_nobody_gets_in(closed: grpc.aio.Channel, method: str) -> None:
    assert await outcome(closed, method, ()) == "CALLER_UNAUTHENTICATED"


@ALL_METHODS
async def test_nobody_gets_in_where_registration_is_open_but_to_register(
    open_to_all: grpc.aio.Channel, method: str
) -> None:
    wanted = REACHED.value if method in ANONYMOUS_WHERE_OPEN else "CALLER_UNAUTHENTICATED"
    assert await outcome(open_to_all, method, ()) == wanted


@ALL_METHODS
@pytest.mark.parametrize("permission", [None, *Permission])
async def test_each_permission_opens_what_it_should(
    closed: grpc.aio.Channel, method: str, permission: Permission | None
) -> None:
    own = "nobody" if permission is None else holder(permission)
    needed = expected(method)
    allowed = not needed or permission in needed
    wanted = REACHED.value if allowed else "PERMISSION_MISSING"
    assert await outcome(closed, method, metadata(own)) == wanted


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_rows_are_bounded(method: str) -> None:
    row = METHODS[method]
    large = {"Validate", "BatchValidate", "ReportActivity"}
    name = method.rpartition("/")[2]
    assert row.max_bytes <= (2.5 * 1024 * 1024 if name in large else 64 * 1024)
    assert (row.anonymous is Anonymous.ALWAYS) == (method in STANDARD)
    assert (row.work in PROBES) == (method in STANDARD)
    streams = method in API and API[method].server_streaming
    assert (row.work in {Work.STREAM, Work.PAIRING}) == streams
    assert row.default_deadline > 0 or name in {"WatchTrust", "Watch", "ServerReflectionInfo"}


async def test_standard_services_are_open_to_anybody(closed: grpc.aio.Channel) -> None:
    assert await unary_unary(closed, "/grpc.health.v1.Health/Check")(b"")
    assert await unary_unary(closed, "/grpc.health.v1.Health/List")(b"")
