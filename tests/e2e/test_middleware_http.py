"""Starlette, FastAPI and Flask on real web servers, judged by a real service."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.e2e.fronts import FRONTS, OUTAGE, starlette
from tests.support.api import Api, exchange_id
from tests.support.fixtures import StartServer
from tests.support.servers import ServerProcess
from tests.support.waiting import PATIENCE, patience
from tests.support.world import World
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

SHIFT = timedelta(minutes=11)
INVALID = 'Bearer error="invalid_token"'


class Place:
    """A front of one framework, the service behind it, and a service 11 minutes later."""

    def __init__(self, world: World, now: str, later: str, front: str, late_front: str) -> None:
        self.world, self.now, self.later = world, now, later
        self.front, self.late_front = front, late_front


@pytest.fixture(scope="module")
def both(
    served: tuple[World, ServerProcess],
) -> Iterator[tuple[World, ServerProcess, ServerProcess]]:
    world, server = served
    shift = {"TEST_CLOCK_SHIFT": str(SHIFT.total_seconds())}
    late = ServerProcess({**world.environment(), **shift}, module="tests.support.shifted_server")
    yield world, server, late
    late.kill()


@pytest.fixture(scope="module", params=FRONTS)
def place(
    request: pytest.FixtureRequest, both: tuple[World, ServerProcess, ServerProcess]
) -> Iterator[Place]:
    world, server, late = both
    start = FRONTS[request.param]
    with ExitStack() as stack:
        front = stack.enter_context(start(world, server.address))
        late_front = stack.enter_context(start(world, late.address))
        yield Place(world, server.address, late.address, front, late_front)


@pytest_asyncio.fixture(loop_scope="session")
async def web(place: Place) -> AsyncIterator[Api]:
    async with place.world.api(place.now, "demo-web") as api:
        yield api


@pytest_asyncio.fixture(loop_scope="session")
async def client(place: Place) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{place.front}") as made:
        yield made


async def login(place: Place, api: Api, *audiences: str, **request: Any) -> types.TokenSet:
    world = place.world
    audience = list(audiences) or ["orders"]
    return await api.login(world.username, world.password, audiences=audience, **request)


def bearer(tokens: types.TokenSet) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens.access_tokens[0].token}"}


async def said(call: Any) -> tuple[int, str]:
    answer = await call
    return answer.status_code, answer.headers.get("www-authenticate", "")


async def test_verdicts(place: Place, web: Api, client: httpx.AsyncClient) -> None:
    tokens = await login(place, web)
    headers = bearer(tokens)
    answer = await client.get("/orders", headers=headers)
    assert answer.status_code == 200
    assert len(answer.json()["subject"]) == 36
    assert await said(client.get("/health")) == (200, "")
    assert await said(client.get("/orders")) == (401, "Bearer")
    assert await said(client.get("/orders", headers={"authorization": "Bearer x"})) == (
        401,
        INVALID,
    )
    twice = [("authorization", headers["authorization"])] * 2
    assert await said(client.get("/orders", headers=twice)) == (
        400,
        'Bearer error="invalid_request"',
    )
    assert await said(client.get("/admin", headers=headers)) == (
        403,
        'Bearer error="insufficient_scope", scope="orders.admin"',
    )
    assert await said(client.get("/billing", headers=headers)) == (401, INVALID)
    billing = bearer(await login(place, web, "billing"))
    assert await said(client.get("/billing", headers=billing)) == (200, "")
    assert await said(client.post("/payments", headers=headers)) == (200, "")
    session = {"authorization": f"Bearer {tokens.session_token}"}
    assert await said(client.get("/orders", headers=session)) == (401, INVALID)


async def test_an_opaque_token(place: Place, client: httpx.AsyncClient) -> None:
    async with place.world.api(place.now, "demo-opaque") as app:
        tokens = await login(place, app)
        headers = bearer(tokens)
        assert (await client.get("/orders", headers=headers)).status_code == 200
        await app.revoke(token=tokens.session_token)
        await refused(client, headers)


async def test_a_revoked_token(place: Place, web: Api, client: httpx.AsyncClient) -> None:
    tokens = await login(place, web)
    headers = bearer(tokens)
    assert (await client.get("/orders", headers=headers)).status_code == 200
    await web.revoke(token=tokens.session_token)
    await refused(client, headers)


async def refused(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    """Wait until a token that was just revoked is refused; the feed takes milliseconds."""
    async with patience():
        while (found := await said(client.get("/orders", headers=headers)))[0] == 200:
            await asyncio.sleep(0.01)
    assert found == (401, INVALID)


async def test_time_passes(place: Place, web: Api) -> None:
    """Eleven minutes later: the token has expired, and the login is too old for a payment."""
    tokens = await login(place, web)
    async with (
        httpx.AsyncClient(base_url=f"http://{place.late_front}") as late,
        place.world.api(place.later, "demo-web") as api,
    ):
        assert await said(late.get("/orders", headers=bearer(tokens))) == (401, INVALID)
        renewed = (await api.exchange(tokens.session_token, exchange_id())).tokens
        assert await said(late.get("/orders", headers=bearer(renewed))) == (200, "")
        assert await said(late.post("/payments", headers=bearer(renewed))) == (
            401,
            'Bearer error="insufficient_user_authentication", max_age="600"',
        )
        again = await api.tokens.Reauthenticate(
            pb.ReauthenticateRequest(
                token=renewed.session_token,
                password=pb.PasswordCredential(
                    username=place.world.username, password=place.world.password
                ),
                exchange_id=exchange_id(),
                audiences=["orders"],
            ),
            metadata=api.metadata,
        )
        assert await said(late.post("/payments", headers=bearer(again.tokens))) == (200, "")


async def test_cookies(place: Place, web: Api, client: httpx.AsyncClient) -> None:
    token = (await login(place, web)).access_tokens[0].token
    cookie = {"cookie": f"theme=dark; __Host-access={token}"}
    assert await said(client.get("/orders", headers=cookie)) == (200, "")
    assert await said(client.post("/orders", headers=cookie)) == (403, "")
    for name, value, status in (
        ("sec-fetch-site", "same-origin", 200),
        ("sec-fetch-site", "cross-site", 403),
        ("origin", f"http://{place.front}", 200),
        ("origin", "https://evil.example", 403),
    ):
        answer = await client.post("/orders", headers={**cookie, name: value})
        assert answer.status_code == status, (name, value)
    both = {**cookie, "authorization": f"Bearer {token}"}
    assert (await client.get("/orders", headers=both)).status_code == 400


async def test_no_token_is_logged(
    place: Place,
    both: tuple[World, ServerProcess, ServerProcess],
    web: Api,
    client: httpx.AsyncClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither by the application's process nor by the service's. (httpx logs no headers.)"""
    caplog.set_level(logging.INFO)
    for name in ("tokenservice", "uvicorn", "waitress", "flask"):
        caplog.set_level(logging.DEBUG, name)
    tokens = await login(place, web)
    token = tokens.access_tokens[0].token
    answers = [
        await client.get(path, headers=headers)
        for path in ("/orders", "/admin", "/billing", "/nowhere")
        for headers in (
            bearer(tokens),
            {"authorization": f"Bearer {token}x"},
            {"authorization": f"Bearer {token} {token}"},
            {"cookie": f"__Host-access={token}"},
            {"authorization": f"Bearer {tokens.session_token}"},
        )
    ]
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 403}
    secrets = [*token.split("."), tokens.session_token.split("_", 2)[2]]
    told = [caplog.text, *both[1].output, *both[2].output]
    told += [f"{answer.headers} {answer.text}" for answer in answers]
    assert not any(secret in text for secret in secrets for text in told)


async def test_nobody_answers(world: World, start_server: StartServer) -> None:
    server = start_server()
    with ExitStack() as stack:
        fronts = {
            name: stack.enter_context(start(world, server.address, OUTAGE))
            for name, start in FRONTS.items()
        }
        async with world.api(server.address, "demo-web") as web:
            tokens = await web.login(world.username, world.password, audiences=["orders"])
        for address in fronts.values():
            assert (await get(address, "/orders", bearer(tokens))).status_code == 200
        await asyncio.to_thread(server.kill)
        for name, address in fronts.items():
            async with patience():
                while (answer := await get(address, "/orders", bearer(tokens))).is_success:
                    await asyncio.sleep(0.05)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), name
            assert (await get(address, "/health", {})).status_code == 200


async def get(address: str, path: str, headers: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=PATIENCE) as client:
        return await client.get(path, headers=headers)


async def test_a_websocket(both: tuple[World, ServerProcess, ServerProcess]) -> None:
    world, server, _ = both
    with starlette(world, server.address) as address:
        url = f"ws://{address}/feed"
        async with world.api(server.address, "demo-web") as web:
            with pytest.raises(InvalidStatus) as caught:
                await connect(url)
            response = caught.value.response
            assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
            tokens = await web.login(world.username, world.password, audiences=["orders"])
            cookie = {"cookie": f"__Host-access={tokens.access_tokens[0].token}"}
            with pytest.raises(InvalidStatus) as caught:
                await connect(url, additional_headers=cookie, origin="https://evil.example")  # type: ignore[arg-type]
            assert caught.value.response.status_code == 403
            async with connect(url, additional_headers=bearer(tokens)) as socket:
                assert len(await socket.recv()) == 36
                await web.revoke(token=tokens.session_token)
                with pytest.raises(ConnectionClosed) as closed:
                    async with patience():
                        await socket.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "invalid_token")
