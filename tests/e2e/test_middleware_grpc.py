"""gRPC servers of both kinds behind the interceptor, judged by a real service."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest
import pytest_asyncio

from tests.e2e.fronts import OUTAGE, RECHECK, credentials
from tests.support.api import Api
from tests.support.certificates import Issued, issue
from tests.support.fixtures import StartServer
from tests.support.grpc_services import (
    METHODS,
    AsyncOrders,
    Client,
    ThreadOrders,
    answered,
    collected,
    handlers,
)
from tests.support.servers import ServerProcess
from tests.support.waiting import PATIENCE, patience
from tests.support.world import World
from tokenservice import Connection, SyncConnection, SyncValidator, Validator
from tokenservice.middleware import grpc_aio, grpc_sync
from tokenservice.v1 import types_pb2 as types

SHIFT = timedelta(minutes=11)
INVALID = ("UNAUTHENTICATED", "INVALID_TOKEN", 'Bearer error="invalid_token"')
SETTINGS: dict[str, Any] = {
    "audience": "orders",
    "methods": METHODS,
    "recheck_every": RECHECK,
}


@asynccontextmanager
async def aio(
    world: World,
    address: str,
    tls: grpc.ServerCredentials | None = None,
    staleness: float = 5.0,
) -> AsyncIterator[tuple[str, Any]]:
    orders = AsyncOrders()
    async with (
        Connection(address, credentials(world)) as connection,
        Validator(connection, staleness_limit=timedelta(seconds=staleness)) as validator,
    ):
        assert await validator.wait_ready(timedelta(seconds=PATIENCE))
        interceptor = grpc_aio.TokenInterceptor(validator, **SETTINGS)
        server = grpc.aio.server(interceptors=[interceptor])
        server.add_generic_rpc_handlers(handlers(orders))
        port = _listen(server, tls)
        await server.start()
        try:
            yield f"127.0.0.1:{port}", orders
        finally:
            await server.stop(None)


@asynccontextmanager
async def threads(
    world: World,
    address: str,
    tls: grpc.ServerCredentials | None = None,
    staleness: float = 5.0,
) -> AsyncIterator[tuple[str, Any]]:
    orders = ThreadOrders()
    with (
        SyncConnection(address, credentials(world)) as connection,
        SyncValidator(connection, staleness_limit=timedelta(seconds=staleness)) as validator,
    ):
        assert await asyncio.to_thread(validator.wait_ready, timedelta(seconds=10))
        interceptor = grpc_sync.TokenInterceptor(validator, **SETTINGS)
        pool = ThreadPoolExecutor(4)
        server = grpc.server(pool, interceptors=[interceptor])
        server.add_generic_rpc_handlers(handlers(orders))
        port = _listen(server, tls)
        server.start()
        try:
            yield f"127.0.0.1:{port}", orders
        finally:
            await asyncio.to_thread(server.stop(None).wait)
            await asyncio.to_thread(pool.shutdown)


def _listen(server: Any, tls: grpc.ServerCredentials | None) -> int:
    if tls is None:
        return int(server.add_insecure_port("127.0.0.1:0"))
    return int(server.add_secure_port("127.0.0.1:0", tls))


KINDS = {"aio": aio, "threads": threads}


@pytest.fixture(scope="module")
def late(served: tuple[World, ServerProcess]) -> Iterator[ServerProcess]:
    """The service 11 minutes later."""
    shift = {"TEST_CLOCK_SHIFT": str(SHIFT.total_seconds())}
    environment = {**served[0].environment(), **shift}
    server = ServerProcess(environment, module="tests.support.shifted_server")
    yield server
    server.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def web(served: tuple[World, ServerProcess]) -> AsyncIterator[Api]:
    world, server = served
    async with world.api(server.address, "demo-web") as api:
        yield api


async def login(world: World, api: Api, audience: str = "orders", **request: Any) -> types.TokenSet:
    return await api.login(world.username, world.password, audiences=[audience], **request)


def access(tokens: types.TokenSet) -> str:
    return tokens.access_tokens[0].token


@pytest.mark.parametrize("kind", KINDS)
async def test_verdicts(
    kind: str, served: tuple[World, ServerProcess], web: Api, caplog: pytest.LogCaptureFixture
) -> None:
    world, server = served
    caplog.set_level(logging.DEBUG)
    async with KINDS[kind](world, server.address) as (address, _):
        tokens = await login(world, web)
        async with Client(address, access(tokens)) as client:
            shapes = await client.shapes()
            who = shapes["get"]
            assert len(who) == 36
            assert shapes == {
                "get": who,
                "list": [who] * 3,
                "write": [who],
                "put": who + b"2",
                "talk": [who + b"a", who + b"b"],
            }
            step_up = await client.unary("/shop.Orders/Pay")
            assert step_up[1] == "INSUFFICIENT_USER_AUTHENTICATION"
            assert (await client.unary("/shop.Orders/Unlisted"))[1] == "ROUTE_NOT_LISTED"
        for token in (tokens.session_token, access(await login(world, web, "billing")), "x"):
            async with Client(address, token) as client:
                assert await client.shapes() == dict.fromkeys(shapes, INVALID)
        narrow = await login(world, web, scopes=["billing.read"])
        async with Client(address, access(narrow)) as client:
            assert (await client.unary())[:2] == ("PERMISSION_DENIED", "INSUFFICIENT_SCOPE")
    secrets = access(tokens).split(".")
    told = [caplog.text, *server.output]
    assert not any(secret in text for secret in secrets for text in told)


@pytest.mark.parametrize("kind", KINDS)
async def test_streams_end_when_their_token_is_revoked(
    kind: str, served: tuple[World, ServerProcess], web: Api
) -> None:
    world, server = served
    async with KINDS[kind](world, server.address) as (address, _):
        tokens = await login(world, web)
        async with Client(address, access(tokens)) as client:
            listing, putting = client.list(b"wait"), client.put()
            await putting.write(b"wait")
            talking = client.talk()
            await talking.write(b"wait")
            assert await listing.read() == await client.unary()
            await web.revoke(token=tokens.session_token)
            assert await answered(putting) == INVALID
            assert await collected(talking) == INVALID
            while await answered(listing.read()) not in (INVALID, grpc.aio.EOF):
                pass
            assert await listing.code() is grpc.StatusCode.UNAUTHENTICATED
            assert await client.unary() == INVALID


@pytest.mark.parametrize("kind", KINDS)
async def test_an_expired_token(
    kind: str, served: tuple[World, ServerProcess], late: ServerProcess, web: Api
) -> None:
    world, _ = served
    tokens = await login(world, web)
    async with (
        KINDS[kind](world, late.address) as (address, _),
        Client(address, access(tokens)) as client,
    ):
        shapes = await client.shapes()
        assert shapes == dict.fromkeys(shapes, INVALID)


@pytest.mark.parametrize("kind", KINDS)
async def test_tokens_bound_to_a_certificate(
    kind: str, served: tuple[World, ServerProcess], web: Api
) -> None:
    world, server = served
    authority = issue("authority")
    host, own, other = (issue(name, authority) for name in ("localhost", "own", "other"))
    tls = grpc.ssl_server_credentials(
        [(host.key, host.certificate)], authority.certificate, require_client_auth=True
    )
    thumbprint = bytes.fromhex(own.thumbprint)
    bound = access(await login(world, web, confirmation=thumbprint))

    async def called(address: str, presented: Issued) -> Any:
        secure = grpc.ssl_channel_credentials(
            authority.certificate, presented.key, presented.certificate
        )
        async with Client(address, bound) as client:
            await client.channel.close()
            client.channel = grpc.aio.secure_channel(address, secure)
            return await client.unary()

    async with KINDS[kind](world, server.address, tls) as (address, _):
        assert len(await called(address, own)) == 36
        assert await called(address, other) == INVALID
    async with (
        KINDS[kind](world, server.address) as (address, _),
        Client(address, bound) as client,
    ):
        assert await client.unary() == INVALID


async def test_nobody_answers(world: World, start_server: StartServer) -> None:
    server = start_server()
    async with AsyncExitStack() as stack:
        served = [
            await stack.enter_async_context(kind(world, server.address, staleness=OUTAGE))
            for kind in KINDS.values()
        ]
        async with world.api(server.address, "demo-web") as web:
            token = access(await login(world, web))
        clients = [await stack.enter_async_context(Client(address, token)) for address, _ in served]
        open_streams = [client.list(b"wait") for client in clients]
        for client in clients:
            assert len(await client.unary()) == 36
        await asyncio.to_thread(server.kill)
        for client, stream in zip(clients, open_streams, strict=True):
            async with patience():
                while isinstance(refused := await client.unary(), bytes):
                    await asyncio.sleep(0.05)
            assert refused == ("UNAVAILABLE", "TEMPORARILY_UNAVAILABLE", "retry after 1")
            assert (await collected(stream))[0] == "UNAVAILABLE"
            assert await client.unary("/shop.Health/Check") == b"nobody"
