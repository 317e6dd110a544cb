"""What the OpenAPI document of a protected FastAPI application tells its readers."""

from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Security
from openapi_spec_validator import validate

from tests.unit.client.judges import Judge
from tokenservice import PUBLIC, CookieAuth, Principal, Route
from tokenservice.middleware.asgi import TokenMiddleware
from tokenservice.middleware.fastapi import describe, protect, require
from tokenservice.testing import Issuer

Reader = Annotated[Principal, Depends(require(scopes=["orders.read"]))]
SCOPES = {
    ("GET", "/orders/{order_id}"): ["orders.read"],
    ("PUT", "/orders/{order_id}"): ["orders.read", "orders.write"],
    ("POST", "/payments"): [],
    ("GET", "/health"): None,
}
"""What each route demands; None for a public one."""

ROUTES = {
    "GET /orders/{id}": Route(scopes=["orders.read"]),
    "PUT /orders/{id}": Route(scopes=["orders.write", "orders.read"]),
    "POST /payments": Route(max_auth_age=timedelta(seconds=300), acr="aal2"),
    "/health": PUBLIC,
    "/openapi.json": PUBLIC,
    "/docs": PUBLIC,
}


def dependencies(judge: Judge, cookie: CookieAuth | None) -> FastAPI:
    """Routes that say themselves what they demand, one in a router of its own."""
    app, router = FastAPI(), APIRouter(prefix="/orders", dependencies=[Depends(require())])
    protect(app, judge, audience="orders", cookie=cookie)

    @router.get("/{order_id}")
    async def read(order_id: str, caller: Reader) -> str:
        return order_id

    @router.put("/{order_id}")
    async def write(
        order_id: str,
        caller: Annotated[
            Principal, Security(require(scopes=["orders.read"]), scopes=["orders.write"])
        ],
    ) -> str:
        return order_id

    @app.post(
        "/payments",
        dependencies=[Depends(require(max_auth_age=timedelta(seconds=300), acr="aal2"))],
    )
    def pay() -> str:
        return "paid"

    @app.get("/health")
    async def health() -> str:
        return "ok"

    app.include_router(router)
    return app


def table(judge: Judge, cookie: CookieAuth | None) -> FastAPI:
    """The same, protected by the ASGI middleware's table."""
    app = FastAPI()
    app.add_middleware(
        TokenMiddleware, validator=judge, audience="orders", routes=ROUTES, cookie=cookie
    )
    describe(app, ROUTES, cookie=cookie)

    @app.get("/orders/{order_id}")
    @app.put("/orders/{order_id}")
    async def order(order_id: str) -> str:
        return order_id

    @app.post("/payments")
    @app.get("/health")
    async def any_other() -> str:
        return "ok"

    return app


Style = Callable[[Judge, CookieAuth | None], FastAPI]
styles = pytest.mark.parametrize("style", [dependencies, table])
cookies = pytest.mark.parametrize("cookie", [None, CookieAuth()])


def caller(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://app.example")


async def document_of(app: FastAPI) -> dict[str, Any]:
    """Fetch it as the page of Swagger UI does."""
    async with caller(app) as http:
        assert "/openapi.json" in (await http.get("/docs")).text
        document: dict[str, Any] = (await http.get("/openapi.json")).json()
    validate(document)
    return document


@styles
@cookies
async def test_each_route_lists_its_schemes_and_scopes(
    style: Style, cookie: CookieAuth | None, judge: Judge
) -> None:
    document = await document_of(style(judge, cookie))
    schemes = document["components"]["securitySchemes"]
    names = ["TokenService"] if cookie is None else ["TokenService", "TokenServiceCookie"]
    assert sorted(schemes) == names
    assert (schemes["TokenService"]["type"], schemes["TokenService"]["scheme"]) == (
        "http",
        "bearer",
    )
    if cookie is not None:
        there = schemes["TokenServiceCookie"]
        assert (there["type"], there["in"], there["name"]) == ("apiKey", "cookie", cookie.name)
    for (method, path), scopes in SCOPES.items():
        operation = document["paths"][path][method.lower()]
        if scopes is None:
            assert "security" not in operation
            assert operation["responses"].keys() == {"200"}
        else:
            assert operation["security"] == [{name: scopes} for name in names]
            described = operation["responses"].get("403", {}).get("description", "")
            assert all(scope in described for scope in scopes)


@styles
async def test_responses_are_those_that_callers_get(
    style: Style, judge: Judge, issuer: Issuer
) -> None:
    app = style(judge, CookieAuth())
    document = await document_of(app)
    async with caller(app) as http:
        for (method, path), scopes in SCOPES.items():
            if scopes is None:
                continue
            operation = document["paths"][path][method.lower()]
            for headers in (
                {},
                {"authorization": "Bearer abc"},
                {"authorization": f"Bearer {issuer.token()}"},
                {"cookie": f"__Host-access={issuer.token()}"},
            ):
                answer = await http.request(method, path.format(order_id="7"), headers=headers)
                assert answer.status_code in (401, 403)
                _is_documented(operation["responses"][str(answer.status_code)], answer)


def _is_documented(response: dict[str, Any], answer: httpx.Response) -> None:
    content = response["content"][answer.headers["content-type"]]
    assert answer.json() in [one["value"] for one in content["examples"].values()]
    assert set(content["schema"]["required"]) <= answer.json().keys()
    assert answer.json().keys() <= content["schema"]["properties"].keys()
    challenge = answer.headers.get("www-authenticate")
    if challenge is not None:
        shown = response["headers"]["WWW-Authenticate"]["examples"].values()
        assert challenge in [one["value"] for one in shown]


async def test_scopes_of_fastapis_own_security_are_demanded(judge: Judge, issuer: Issuer) -> None:
    async with caller(dependencies(judge, None)) as http:
        for scopes, status in ((["orders.read"], 403), (["orders.read", "orders.write"], 200)):
            bearer = {"authorization": f"Bearer {issuer.token(scopes=scopes)}"}
            assert (await http.put("/orders/7", headers=bearer)).status_code == status


async def test_a_route_that_the_table_forgot_is_shown_as_closed(judge: Judge) -> None:
    app = table(judge, None)

    @app.get("/forgotten")
    async def forgotten() -> str:
        return "never"

    document = await document_of(app)
    responses = document["paths"]["/forgotten"]["get"]["responses"]
    async with caller(app) as http:
        _is_documented(responses["403"], await http.get("/forgotten"))
    assert "401" not in responses


async def test_what_the_author_says_of_a_response_stays(judge: Judge) -> None:
    app = FastAPI()
    protect(app, judge, audience="orders")
    own = {"description": "Go away.", "content": {"application/json": {"example": {"detail": ""}}}}

    @app.get("/orders", responses={401: own})
    async def orders(caller: Reader) -> str:
        return ""

    response = (await document_of(app))["paths"]["/orders"]["get"]["responses"]["401"]
    assert response["description"] == "Go away."
    assert response["content"] == own["content"]
    assert "WWW-Authenticate" in response["headers"]


async def test_routes_that_are_added_later_are_shown(judge: Judge) -> None:
    app = dependencies(judge, None)
    before = await document_of(app)

    @app.get("/later")
    async def later(caller: Reader) -> str:
        return ""

    app.openapi_schema = None  # as old versions of FastAPI want it
    after = await document_of(app)
    assert after["paths"]["/later"]["get"]["security"] == [{"TokenService": ["orders.read"]}]
    assert {**after, "paths": {**after["paths"], "/later": None}} == {
        **before,
        "paths": {**before["paths"], "/later": None},
    }
