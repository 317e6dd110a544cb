"""FastAPI's dependency: who may call, and what the OpenAPI document says of it."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any

import httpx
import pytest
import pytest_asyncio
from fastapi import Depends, FastAPI, Request, WebSocket

from tests.support.certificates import shown
from tests.unit.client.asgi_calls import call, websocket
from tests.unit.client.judges import Judge
from tokenservice import CookieAuth, Principal
from tokenservice.middleware.fastapi import protect, require
from tokenservice.testing import Issuer

Reader = Annotated[Principal, Depends(require(scopes=["orders.read"]))]


def application() -> FastAPI:
    app = FastAPI()

    @app.get("/orders")
    async def orders(request: Request, caller: Reader) -> dict[str, Any]:
        assert request.state.principal is caller
        return {"subject": caller.subject}

    @app.post(
        "/payments",
        dependencies=[Depends(require(max_auth_age=timedelta(seconds=600), acr="aal2"))],
    )
    def pay() -> str:
        return "paid"

    @app.get("/billing", dependencies=[Depends(require(audience="billing"))])
    async def billing() -> str:
        return "bills"

    @app.get("/health")
    async def health() -> str:
        return "ok"

    @app.websocket("/feed")
    async def feed(socket: WebSocket, caller: Reader) -> None:
        await socket.accept()

    return app


@pytest.fixture
def app(judge: Judge) -> FastAPI:
    made = application()
    protect(made, judge, audience="orders", cookie=CookieAuth())
    return made


@pytest_asyncio.fixture(loop_scope="session")
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://app.example") as made:
        yield made


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_who_may_call(client: httpx.AsyncClient, issuer: Issuer) -> None:
    answer = await client.get("/orders", headers=bearer(issuer.token(scopes=["orders.read"])))
    assert (answer.status_code, answer.json()["subject"]) == (200, issuer.subject)
    answer = await client.get("/orders")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    answer = await client.get("/orders", headers=bearer(issuer.token()))
    challenge = 'Bearer error="insufficient_scope", scope="orders.read"'
    assert (answer.status_code, answer.headers["www-authenticate"]) == (403, challenge)
    assert answer.json() == {"detail": "insufficient_scope"}
    answer = await client.get("/billing", headers=bearer(issuer.token()))
    assert (answer.status_code, answer.json()) == (401, {"detail": "invalid_token"})
    billing = issuer.token(audience="billing")
    assert (await client.get("/billing", headers=bearer(billing))).status_code == 200
    assert (await client.get("/health")).status_code == 200


async def test_step_up(client: httpx.AsyncClient, issuer: Issuer) -> None:
    answer = await client.post("/payments", headers=bearer(issuer.token()))
    assert answer.status_code == 401
    assert 'max_age="600", acr_values="aal2"' in answer.headers["www-authenticate"]
    strong = issuer.token(acr="aal2")
    assert (await client.post("/payments", headers=bearer(strong))).status_code == 200
    issuer.advance(timedelta(minutes=11))
    old = issuer.token(acr="aal2", auth_time=issuer.now() - timedelta(seconds=601))
    assert (await client.post("/payments", headers=bearer(old))).status_code == 401


async def test_cookies(client: httpx.AsyncClient, issuer: Issuer) -> None:
    cookie = {"cookie": f"__Host-access={issuer.token(acr='aal2')}"}
    assert (await client.post("/payments", headers=cookie)).status_code == 403
    own = {**cookie, "origin": "https://app.example"}
    assert (await client.post("/payments", headers=own)).status_code == 200


async def test_nobody_can_answer(client: httpx.AsyncClient, judge: Judge, issuer: Issuer) -> None:
    judge.down = True
    answer = await client.get("/orders", headers=bearer(issuer.token(scopes=["orders.read"])))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


async def test_an_application_that_was_not_protected_lets_nobody_in(issuer: Issuer) -> None:
    transport = httpx.ASGITransport(application(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://app.example") as client:
        headers = bearer(issuer.token(scopes=["orders.read"]))
        assert (await client.get("/orders", headers=headers)).status_code == 500


async def test_websocket_handshakes(app: FastAPI, issuer: Issuer) -> None:
    connect = {"type": "websocket.connect"}
    common: dict[str, Any] = {"query_string": b"", "root_path": ""}
    good = websocket(headers=bearer(issuer.token(scopes=["orders.read"])), **common)
    assert (await call(app, good, connect)).types[0] == "websocket.accept"
    refused = await call(app, websocket(**common), connect)
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")


async def test_tokens_bound_to_a_certificate(judge: Judge, issuer: Issuer) -> None:
    _, thumbprint = shown()
    app = application()
    protect(app, judge, audience="orders", confirmation=lambda _: thumbprint)
    token = issuer.token(scopes=["orders.read"], confirmation=thumbprint)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://app.example") as client:
        assert (await client.get("/orders", headers=bearer(token))).status_code == 200
