"""The interceptors on real servers of both kinds, with calls of all four shapes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import grpc
import pytest
import pytest_asyncio

from tests.support.certificates import shown
from tests.support.grpc_services import (
    METHODS,
    AsyncOrders,
    Client,
    ThreadOrders,
    answered,
    collected,
    handlers,
)
from tests.support.waiting import until
from tests.unit.client.judges import Judge, SyncJudge
from tokenservice import PUBLIC, Route
from tokenservice.middleware import grpc_aio, grpc_sync
from tokenservice.middleware._grpc_common import MethodTable, peer_thumbprint
from tokenservice.testing import Issuer

OFTEN = timedelta(milliseconds=10)
NO_TOKEN = ("UNAUTHENTICATED", "MISSING_TOKEN", "Bearer")
BAD_REQUEST = ("UNAUTHENTICATED", "INVALID_REQUEST", 'Bearer error="invalid_request"')
BAD_TOKEN = ("UNAUTHENTICATED", "INVALID_TOKEN", 'Bearer error="invalid_token"')
SCOPE = (
    "PERMISSION_DENIED",
    "INSUFFICIENT_SCOPE",
    'Bearer error="insufficient_scope", scope="orders.read"',
)
UNLISTED = ("PERMISSION_DENIED", "ROUTE_NOT_LISTED", "")
UNAVAILABLE = ("UNAVAILABLE", "TEMPORARILY_UNAVAILABLE", "retry after 1")


class Served:
    """A server of one kind and what belongs to it."""

    def __init__(self, issuer: Issuer, judge: Any, orders: Any, address: str) -> None:
        self.issuer, self.judge, self.orders, self.address = issuer, judge, orders, address

    def client(self, token: str = "") -> Client:
        return Client(self.address, token)

    def reader(self, **said: Any) -> Client:
        return self.client(self.issuer.token(scopes=["orders.read"], **said))

    async def idle(self) -> None:
        await _set(self.orders.idle)

    async def ended(self) -> None:
        await _set(self.orders.ended)


async def _set(event: Any) -> None:
    await until(event.is_set)


Start = Callable[..., Awaitable[Served]]


@pytest_asyncio.fixture(loop_scope="session", params=["aio", "threads"])
async def start(request: pytest.FixtureRequest) -> AsyncIterator[Start]:
    stops: list[Any] = []
    issuer = Issuer(audience="orders")

    async def start_aio(**settings: Any) -> Served:
        judge, orders = Judge(issuer), AsyncOrders()
        interceptor = grpc_aio.TokenInterceptor(judge, audience="orders", **settings)
        server = grpc.aio.server(interceptors=[interceptor])
        server.add_generic_rpc_handlers(handlers(orders))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stops.append(lambda: server.stop(None))
        return Served(issuer, judge, orders, f"127.0.0.1:{port}")

    async def start_threads(**settings: Any) -> Served:
        judge, orders = SyncJudge(issuer), ThreadOrders()
        pool = ThreadPoolExecutor(4)
        interceptor = grpc_sync.TokenInterceptor(judge, audience="orders", **settings)
        server = grpc.server(pool, interceptors=[interceptor])
        server.add_generic_rpc_handlers(handlers(orders))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()

        async def stop() -> None:
            await asyncio.to_thread(server.stop(None).wait)
            pool.shutdown()

        stops.append(stop)
        return Served(issuer, judge, orders, f"127.0.0.1:{port}")

    begin = {"aio": start_aio, "threads": start_threads}[request.param]
    yield lambda **settings: begin(**{"methods": METHODS, "recheck_every": OFTEN, **settings})
    for stop in stops:
        await stop()


def everywhere(outcome: Any) -> dict[str, Any]:
    return dict.fromkeys(("get", "list", "write", "put", "talk"), outcome)


@pytest.mark.parametrize("recheck_every", [OFTEN, None])
async def test_a_good_token_in_all_shapes(start: Start, recheck_every: timedelta | None) -> None:
    served = await start(recheck_every=recheck_every)
    who = served.issuer.subject.encode()
    async with served.reader() as client:
        assert await client.shapes() == {
            "get": who,
            "list": [who] * 3,
            "write": [who],
            "put": who + b"2",
            "talk": [who + b"a", who + b"b"],
        }
    async with served.client() as client:
        assert await client.unary("/shop.Health/Check") == b"nobody", "not the caller before"


async def test_refusals_in_all_shapes(start: Start) -> None:
    served = await start()
    async with served.client() as client:
        assert await client.shapes() == everywhere(NO_TOKEN)
        client.metadata.add("authorization", "Bearer a b")
        assert await client.shapes() == everywhere(BAD_REQUEST)
    async with served.client("nonsense") as client:
        assert await client.shapes() == everywhere(BAD_TOKEN)
    async with served.reader() as client:
        client.metadata.add("authorization", "Bearer another")
        assert await client.shapes() == everywhere(BAD_REQUEST)
    async with served.client(served.issuer.token()) as client:
        assert await client.shapes() == everywhere(SCOPE)
    async with served.reader() as client:
        served.judge.down = True
        assert await client.shapes() == everywhere(UNAVAILABLE)
        assert await client.unary("/shop.Health/Check") == b"nobody"


async def test_what_is_refused_besides(start: Start) -> None:
    served = await start()
    async with served.reader() as client:
        assert await client.unary("/shop.Orders/Unlisted") == UNLISTED
        assert (await client.unary("/shop.Orders/NoSuchMethod"))[0] == "UNIMPLEMENTED"
        demand = 'max_age="600", acr_values="aal2"'
        refused = await client.unary("/shop.Orders/Pay")
        assert refused[:2] == ("UNAUTHENTICATED", "INSUFFICIENT_USER_AUTHENTICATION")
        assert demand in refused[2]
    async with served.reader(acr="aal2") as client:
        assert await client.unary("/shop.Orders/Pay") == served.issuer.subject.encode()
    async with served.reader(audience="billing") as client:
        assert await client.unary() == BAD_TOKEN
    async with served.reader(expires_in=timedelta(seconds=-1)) as client:
        assert await client.unary() == BAD_TOKEN


@pytest.mark.parametrize("reason", ["revoked", "expired", "down"])
async def test_streams_end_with_their_token(start: Start, reason: str) -> None:
    for shape in ("list", "put", "talk"):
        served = await start()
        token = served.issuer.token(scopes=["orders.read"])
        async with served.client(token) as client:
            call = client.list(b"wait") if shape == "list" else getattr(client, shape)()
            if shape != "list":
                await call.write(b"wait")
            await served.idle()
            assert not call.done()
            if reason == "revoked":
                served.issuer.revoke(token=token)
            elif reason == "expired":
                served.issuer.advance(timedelta(minutes=5))
            else:
                served.judge.down = True
            outcome = await (answered(call) if shape == "put" else collected(call))
            assert outcome == (UNAVAILABLE if reason == "down" else BAD_TOKEN), shape
            await served.ended()


async def test_a_busy_stream_ends_with_its_token(start: Start) -> None:
    served = await start()
    token = served.issuer.token(scopes=["orders.read"])
    answers: list[bytes] = []
    async with served.client(token) as client:
        reading = asyncio.create_task(collected(client.list(method="/shop.Orders/Tick"), answers))
        await until(lambda: len(answers) >= 50)
        served.issuer.revoke(token=token)
        assert await reading == BAD_TOKEN


async def test_without_rechecks_a_stream_lives_on(start: Start) -> None:
    served = await start(recheck_every=None)
    token = served.issuer.token(scopes=["orders.read"])
    answers: list[bytes] = []

    async def a_revocation_between() -> AsyncIterator[bytes]:
        yield b"a"
        while not answers:
            await asyncio.sleep(0.001)
        served.issuer.revoke(token=token)
        await asyncio.sleep(0.05)
        yield b"b"

    async with served.client(token) as client:
        outcome = await collected(client.talk(a_revocation_between()), answers)
        who = served.issuer.subject.encode()
        assert outcome == answers == [who + b"a", who + b"b"]


async def test_a_client_that_goes_ends_its_stream(start: Start) -> None:
    served = await start()
    async with served.reader() as client:
        call = client.list(b"wait")
        await served.idle()
        call.cancel()
        await served.ended()


async def test_the_handlers_own_end_is_kept(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # gRPC logs what handlers raise
    for every in (OFTEN, None):
        served = await start(recheck_every=every)
        async with served.reader() as client:
            aborted = client.list(method="/shop.Orders/Abort")
            assert (await collected(aborted))[0] == "NOT_FOUND"
            assert await aborted.details() == "the handler's own"
            failed = client.list(method="/shop.Orders/Fail")
            assert (await collected(failed))[0] == "UNKNOWN"


async def test_routes_from_a_function(start: Start) -> None:
    def route(details: grpc.HandlerCallDetails) -> Route | None:
        return Route() if details.method.endswith("/Unlisted") else None

    served = await start(methods=route)
    async with served.client(served.issuer.token()) as client:
        assert await client.unary("/shop.Orders/Unlisted") == served.issuer.subject.encode()
        assert await client.unary() == UNLISTED


async def test_tokens_bound_to_a_certificate(start: Start) -> None:
    served = await start(confirmation=lambda _: b"c" * 32)
    async with served.reader(confirmation=b"c" * 32) as client:
        assert await client.unary() == served.issuer.subject.encode()
    async with served.reader(confirmation=b"d" * 32) as client:
        assert await client.unary() == BAD_TOKEN
    served = await start()
    async with served.reader(confirmation=b"c" * 32) as client:
        assert await client.unary() == BAD_TOKEN


async def test_no_token_in_logs_and_errors(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    served = await start()
    token = served.issuer.token()
    said = []
    for sent in (token, f"{token} {token}", token + "x"):
        async with served.client(sent) as client:
            for method in ("/shop.Orders/Get", "/shop.Orders/Unlisted"):
                make: Any = client.channel.unary_unary(method)
                call = make(b"", metadata=client.metadata)
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call
                error = caught.value
                said.append(f"{error.details()} {error.trailing_metadata()}")
    assert not any(part in text for part in token.split(".") for text in [*said, caplog.text])


async def test_an_aio_server_needs_asynchronous_handlers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    issuer = Issuer(audience="orders")
    interceptor = grpc_aio.TokenInterceptor(
        issuer.validator(), audience="orders", methods={"/x.Y/Z": Route(), "/x.Y/Open": PUBLIC}
    )
    server = grpc.aio.server(interceptors=[interceptor])
    make = grpc.unary_unary_rpc_method_handler
    methods: dict[str, Any] = {"Z": make(lambda *_: b"z"), "Open": make(lambda *_: b"open")}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("x.Y", methods)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with Client(f"127.0.0.1:{port}", issuer.token()) as client:
            assert (await client.unary("/x.Y/Z"))[0] == "INTERNAL"
            assert await client.unary("/x.Y/Open") == b"open"
    finally:
        await server.stop(None)
    assert "/x.Y/Z has no asynchronous handler" in caplog.text


def test_tables() -> None:
    one, rest = Route(), Route(acr="aal2")
    table = MethodTable({"/a.B/One": one, "/a.B/*": rest})
    found = [table(_Details(method)) for method in ("/a.B/One", "/a.B/Two", "/a.C/One", "/a.B/")]
    assert found == [one, rest, None, rest]
    for key in ("a.B/One", "/a.B", "/a.B/", "/a/b/c", ""):
        with pytest.raises(ValueError, match="not a method"):
            MethodTable({key: PUBLIC})


def test_certificates_of_a_connection() -> None:
    pem, thumbprint = shown()
    assert peer_thumbprint({"x509_pem_cert": [pem.encode()]}) == thumbprint
    assert peer_thumbprint({"x509_pem_cert": [b"\xff"]}) == b""
    assert peer_thumbprint({}) == b""


class _Details:
    def __init__(self, method: str) -> None:
        self.method = method
        self.invocation_metadata: Any = ()
