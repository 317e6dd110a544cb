"""A program's token on its outgoing HTTP and gRPC calls."""

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import grpc
import httpx
import pytest

from tests.support.client_fakes import FakeService, FakeTime, half, unreachable
from tests.support.waiting import PATIENCE
from tokenservice import (
    BackgroundLoop,
    BearerAuth,
    SyncTokenClient,
    SyncTokenSource,
    TokenSource,
    Unreachable,
    call_credentials,
)
from tokenservice._outgoing.grpc_auth import TokenPlugin
from tokenservice._sync.face import SyncFace

URL = "https://orders.internal/"


class Server:
    """Accepts the tokens that it lists."""

    def __init__(self, *good: str, challenge: str = 'Bearer error="invalid_token"') -> None:
        self.good = {f"Bearer {token}" for token in good}
        self.challenge = challenge
        self.seen: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request.headers["Authorization"].removeprefix("Bearer "))
        if request.headers["Authorization"] in self.good:
            return httpx.Response(200, content=request.content)
        return httpx.Response(401, headers={"WWW-Authenticate": self.challenge})

    async def asynchronous(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self(request)


def source_of(service: FakeService) -> TokenSource:
    return TokenSource(service.client, "orders", time=service.time.server_time(), random=half)


@pytest.fixture
def service() -> FakeService:
    return FakeService(FakeTime())


@pytest.fixture
def threads(service: FakeService) -> Iterator[SyncTokenSource]:
    loop = BackgroundLoop()
    yield SyncTokenSource(cast("SyncTokenClient", SyncFace(service.client, loop)), "orders")
    loop.close()


def http_of(server: Server, auth: httpx.Auth) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.MockTransport(server.asynchronous), auth=auth)


async def test_the_token_is_sent(service: FakeService) -> None:
    server = Server("access-1.0")
    async with http_of(server, BearerAuth(source_of(service))) as http:
        assert (await http.post(URL, content=b"body")).content == b"body"
        assert (await http.get(URL)).status_code == 200
    assert server.seen == ["access-1.0"] * 2


async def test_a_refused_token_is_refreshed_once(service: FakeService) -> None:
    server = Server("access-1.1")
    async with http_of(server, BearerAuth(source_of(service))) as http:
        assert (await http.post(URL, content=b"body")).content == b"body"
    assert server.seen == ["access-1.0", "access-1.1"]
    server = Server()
    async with http_of(server, BearerAuth(source_of(service))) as http:
        assert (await http.get(URL)).status_code == 401
    assert len(server.seen) == 2


async def test_what_a_new_token_cannot_help_is_not_sent_again(service: FakeService) -> None:
    step_up = Server(challenge='Bearer error="insufficient_user_authentication"')
    async with http_of(step_up, BearerAuth(source_of(service))) as http:
        assert (await http.get(URL)).status_code == 401
    assert len(step_up.seen) == 1

    async def stream() -> AsyncIterator[bytes]:
        yield b"once"

    server = Server()
    async with http_of(server, BearerAuth(source_of(service))) as http:
        assert (await http.post(URL, content=stream())).status_code == 401
    assert len(server.seen) == 1


def test_threads_have_the_same(threads: SyncTokenSource) -> None:
    server = Server("access-1.1")
    with httpx.Client(transport=httpx.MockTransport(server), auth=BearerAuth(threads)) as http:
        assert http.get(URL).status_code == 200
    assert server.seen == ["access-1.0", "access-1.1"]


async def test_a_token_does_not_leave_the_machine_in_the_clear(service: FakeService) -> None:
    server = Server("access-1.0")
    async with http_of(server, BearerAuth(source_of(service))) as http:
        with pytest.raises(ValueError, match="without TLS"):
            await http.get("http://orders.internal/")
        assert (await http.get("http://127.0.0.1:8000/")).status_code == 200
    allowed = BearerAuth(source_of(FakeService(FakeTime())), allow_plaintext=True)
    async with http_of(server, allowed) as http:
        assert (await http.get("http://orders.internal/")).status_code == 200


async def test_each_client_needs_its_own_kind_of_source(
    service: FakeService, threads: SyncTokenSource
) -> None:
    async with http_of(Server(), BearerAuth(threads)) as http:
        with pytest.raises(TypeError, match="TokenSource"):
            await http.get(URL)
    auth = BearerAuth(source_of(service))
    with (
        httpx.Client(transport=httpx.MockTransport(Server()), auth=auth) as http,
        pytest.raises(TypeError, match="SyncTokenSource"),
    ):
        http.get(URL)


Answer = tuple[Any, Exception | None]
CONTEXT = cast("grpc.AuthMetadataContext", None)


def asked(plugin: TokenPlugin) -> Answer:
    """What the plugin answers on a thread of gRPC's."""
    answers: queue.Queue[Answer] = queue.Queue()

    def answered(metadata: Any, error: Exception | None) -> None:
        answers.put((metadata, error))

    thread = threading.Thread(target=plugin, args=(CONTEXT, answered))
    thread.start()
    try:
        return answers.get(timeout=PATIENCE)
    finally:
        thread.join(PATIENCE)


async def test_grpc_gets_the_token_on_its_own_thread(service: FakeService) -> None:
    plugin = TokenPlugin(source_of(service))
    metadata = (("authorization", "Bearer access-1.0"),)
    assert await asyncio.to_thread(asked, plugin) == (metadata, None)
    assert asked(plugin) == (metadata, None)  # at once, without the loop


async def test_grpc_hears_why_there_is_no_token(service: FakeService) -> None:
    service.failures = [unreachable()]
    metadata, error = await asyncio.to_thread(asked, TokenPlugin(source_of(service)))
    assert metadata == ()
    assert isinstance(error, Unreachable)


def test_grpc_on_threads(threads: SyncTokenSource) -> None:
    assert asked(TokenPlugin(threads)) == ((("authorization", "Bearer access-1.0"),), None)
    assert isinstance(call_credentials(threads), grpc.CallCredentials)


def test_grpc_after_the_loop_has_ended(service: FakeService) -> None:
    async def made() -> TokenPlugin:
        return TokenPlugin(source_of(service))

    metadata, error = asked(asyncio.run(made()))
    assert metadata == ()
    assert isinstance(error, RuntimeError)
