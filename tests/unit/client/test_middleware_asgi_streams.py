"""The ASGI middleware on connections that last: WebSockets and long responses."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.support.waiting import patience, until
from tests.unit.client.asgi_app import ROUTES, App, Wrap, bearer
from tests.unit.client.asgi_calls import Answer, call, scope, websocket
from tests.unit.client.judges import Judge
from tokenservice import CookieAuth
from tokenservice.middleware.asgi import TokenMiddleware
from tokenservice.testing import Issuer


async def test_websocket_handshakes(wrap: Wrap, app: App, issuer: Issuer) -> None:
    connect = {"type": "websocket.connect"}
    good = websocket(headers=bearer(issuer.token(scopes=["orders.read"])))
    assert (await call(wrap(), good, connect)).types == ["websocket.accept"]
    refused = await call(wrap(), websocket(), connect)
    assert refused.types == ["websocket.http.response.start", "websocket.http.response.body"]
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    plain = await call(wrap(), websocket(extensions={}), connect)
    assert plain.messages == [{"type": "websocket.close", "code": 1008}]
    assert len(app.seen) == 1


async def test_a_page_of_somebody_else_opens_no_websocket(wrap: Wrap, issuer: Issuer) -> None:
    wrapped, connect = wrap(cookie=CookieAuth()), {"type": "websocket.connect"}
    cookie = f"__Host-access={issuer.token(scopes=['orders.read'])}"
    foreign = {"cookie": cookie, "origin": "https://evil.example", "host": "app.example"}
    assert (await call(wrapped, websocket(headers=foreign), connect)).status == 403
    own = {**foreign, "origin": "https://app.example"}
    accepted = await call(wrapped, websocket(headers=own), connect)
    assert accepted.types == ["websocket.accept"]


async def listen(scope: Any, receive: Any, send: Any) -> None:
    """Accept, and then hear what comes."""
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})


async def ended(
    wrapped: TokenMiddleware, connection: dict[str, Any], end: Callable[[], object]
) -> Answer:
    """Open a connection, do something, and wait until the middleware has ended it."""
    answer = Answer()
    serving = asyncio.create_task(
        call(wrapped, connection, {"type": "websocket.connect"}, answer=answer)
    )
    await until(lambda: answer.messages)
    await asyncio.sleep(0.02)
    assert not serving.done(), "nothing ends it without a reason"
    end()
    async with patience():
        await serving
    return answer


@pytest.mark.parametrize("reason", ["revoked", "expired", "down"])
async def test_a_websocket_ends_with_its_token(
    wrap: Wrap, judge: Judge, issuer: Issuer, reason: str
) -> None:
    token = issuer.token(scopes=["orders.read"])
    ends: dict[str, tuple[Callable[[], object], str]] = {
        "revoked": (lambda: issuer.revoke(token=token), "invalid_token"),
        "expired": (lambda: issuer.advance(timedelta(minutes=5)), "invalid_token"),
        "down": (lambda: setattr(judge, "down", True), "temporarily_unavailable"),
    }
    end, error = ends[reason]
    wrapped = wrap(listen, recheck_every=timedelta(milliseconds=5))
    answer = await ended(wrapped, websocket(headers=bearer(token)), end)
    assert answer.types == ["websocket.accept", "websocket.close"]
    assert answer.messages[1] == {"type": "websocket.close", "code": 1008, "reason": error}


async def test_an_application_that_does_not_stop_is_cut_off(wrap: Wrap, issuer: Issuer) -> None:
    token = issuer.token(scopes=["orders.read"])
    stop = asyncio.Event()
    heard: list[str] = []

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        await listen_once(receive, send)
        try:
            await asyncio.Event().wait()
        finally:
            await stop.wait()
            await send({"type": "websocket.send", "text": "too late"})
            heard.append((await receive())["type"])

    async def listen_once(receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})

    wrapped = wrap(stubborn, recheck_every=timedelta(milliseconds=5))
    answer = await ended(
        wrapped, websocket(headers=bearer(token)), lambda: issuer.revoke(token=token)
    )
    stop.set()
    await until(lambda: heard)
    assert heard == ["websocket.disconnect"]
    assert answer.types == ["websocket.accept", "websocket.close"]


async def test_a_recheck_that_fails_ends_the_websocket(judge: Judge, issuer: Issuer) -> None:
    token = issuer.token(scopes=["orders.read"])
    broken = False

    class Sometimes:
        async def validate(self, token: str, **demanded: Any) -> Any:
            if broken:
                raise RuntimeError("broken")
            return await judge.validate(token, **demanded)

    wrapped = TokenMiddleware(
        listen,
        validator=Sometimes(),
        audience="orders",
        routes=ROUTES,
        recheck_every=timedelta(seconds=0.005),
    )

    def breaks() -> None:
        nonlocal broken
        broken = True

    with pytest.raises(RuntimeError, match="broken"):
        await ended(wrapped, websocket(headers=bearer(token)), breaks)


async def test_what_the_application_raises_comes_out(wrap: Wrap, issuer: Issuer) -> None:
    async def raises(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("its own")

    connection = websocket(headers=bearer(issuer.token(scopes=["orders.read"])))
    with pytest.raises(KeyError, match="its own"):
        await call(wrap(raises), connection)


async def test_a_client_that_goes_ends_the_watching(wrap: Wrap, issuer: Issuer) -> None:
    connection = websocket(headers=bearer(issuer.token(scopes=["orders.read"])))
    before = asyncio.all_tasks()
    gone: list[dict[str, Any]] = [
        {"type": "websocket.connect"},
        {"type": "websocket.disconnect", "code": 1001},
    ]
    assert (await call(wrap(listen), connection, *gone)).types == ["websocket.accept"]
    assert asyncio.all_tasks() <= before


async def test_cancelling_a_websocket_leaves_nothing_behind(wrap: Wrap, issuer: Issuer) -> None:
    connection = websocket(headers=bearer(issuer.token(scopes=["orders.read"])))
    before = asyncio.all_tasks()
    serving = asyncio.create_task(call(wrap(listen), connection))
    await asyncio.sleep(0.01)
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert asyncio.all_tasks() <= before


async def stream(scope: Any, receive: Any, send: Any) -> None:
    """Send something, and then more of it without end."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await asyncio.sleep(0.001)


async def test_a_long_response_is_broken_off_if_wanted(wrap: Wrap, issuer: Issuer) -> None:
    token = issuer.token(scopes=["orders.read"])
    wrapped = wrap(stream, recheck_every=timedelta(milliseconds=5), recheck_responses=True)
    answer = await ended(
        wrapped, scope(path="/stream", headers=bearer(token)), lambda: issuer.revoke(token=token)
    )
    assert answer.messages[-1]["more_body"], "the client sees that there is something missing"
    plain = wrap(recheck_every=timedelta(milliseconds=5), recheck_responses=True)
    other = issuer.token(scopes=["orders.read"])
    assert (await call(plain, scope(headers=bearer(other)))).status == 200
