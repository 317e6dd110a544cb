"""Tests of an application behind the middleware: real tokens, no server, no network."""

from datetime import timedelta

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route as Endpoint
from starlette.testclient import TestClient

from tokenservice import Route, Validates
from tokenservice.middleware.asgi import TokenMiddleware
from tokenservice.testing import Issuer

pytest_plugins = ["tokenservice.testing.pytest_plugin"]


@pytest.fixture
def token_issuer() -> Issuer:
    """Make tokens for this application unless a test says otherwise."""
    return Issuer(audience="orders")


@pytest.fixture
def client(token_validator: Validates) -> TestClient:
    """Put the application behind a validator of those tokens."""

    async def orders(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.state.principal.subject)

    routes = {"GET /orders": Route(scopes=["orders.read"])}
    guard = Middleware(TokenMiddleware, validator=token_validator, audience="orders", routes=routes)
    return TestClient(Starlette(routes=[Endpoint("/orders", orders)], middleware=[guard]))


def get(client: TestClient, token: str) -> int:
    """Call with a token."""
    answer = client.get("/orders", headers={"Authorization": f"Bearer {token}"})
    return int(answer.status_code)


def test_who_may_read(client: TestClient, token_issuer: Issuer) -> None:
    """The scope is needed, and so is a token that is still good."""
    token = token_issuer.token(subject="alice", scopes=["orders.read"])
    assert get(client, token) == 200
    assert get(client, token_issuer.token(scopes=["orders.write"])) == 403
    assert get(client, token_issuer.token(scopes=["orders.read"], audience="billing")) == 401
    token_issuer.revoke(subject="alice")
    assert get(client, token) == 401


def test_time_and_trouble(client: TestClient, token_issuer: Issuer) -> None:
    """Time is the issuer's, and so is the network."""
    token = token_issuer.token(scopes=["orders.read"])
    with token_issuer.unreachable():
        assert get(client, token) == 503
    assert get(client, token) == 200
    token_issuer.advance(timedelta(minutes=6))
    assert get(client, token) == 401
