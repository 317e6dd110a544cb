"""The WSGI middleware, one request at a time."""

import json
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator as conformant

import pytest

from tests.support.certificates import shown
from tests.unit.client.judges import SyncJudge
from tokenservice import PUBLIC, CookieAuth, Route
from tokenservice.middleware.wsgi import TokenMiddleware
from tokenservice.testing import Issuer

ROUTES = {
    "GET /orders": Route(scopes=["orders.read"]),
    "POST /orders": Route(scopes=["orders.write"]),
    "/health": PUBLIC,
}


class App:
    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.seen.append(dict(environ))
        start("200 OK", [("content-type", "text/plain")])
        return [b"ok"]


@pytest.fixture
def judge(issuer: Issuer) -> SyncJudge:
    return SyncJudge(issuer)


@pytest.fixture
def app() -> App:
    return App()


def call(
    app: Any, judge: SyncJudge, *, method: str = "GET", path: str = "/orders", **rest: Any
) -> tuple[int, dict[str, str], bytes]:
    """One request through the middleware, both sides watched over by wsgiref's checks."""
    settings = {"routes": ROUTES, **rest.pop("settings", {})}
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        **rest,
    }
    environ.setdefault("SCRIPT_NAME", "")
    setup_testing_defaults(environ)
    started: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        started.append((status, headers))
        return lambda _: None

    inner = TokenMiddleware(app, validator=judge, audience="orders", **settings)
    response = conformant(inner)(environ, start)
    body = b"".join(response)
    response.close()  # type: ignore[attr-defined]
    status, headers = started[0]
    return int(status.split()[0]), dict(headers), body


def bearer(token: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {token}"}


def test_a_good_token_reaches_the_application(app: App, judge: SyncJudge, issuer: Issuer) -> None:
    token = issuer.token(scopes=["orders.read"])
    assert call(app, judge, **bearer(token))[0] == 200
    assert app.seen[0]["tokenservice.principal"].scopes == {"orders.read"}
    assert app.seen[0]["HTTP_AUTHORIZATION"] == f"Bearer {token}"


def test_refusals(app: App, judge: SyncJudge, issuer: Issuer) -> None:
    token = issuer.token()
    scope = 'Bearer error="insufficient_scope", scope="orders.read"'
    invalid, bad = 'Bearer error="invalid_token"', 'Bearer error="invalid_request"'
    for headers, status, challenge, error in (
        ({}, 401, "Bearer", None),
        (bearer("x"), 401, invalid, "invalid_token"),
        (bearer(f"{token}, Bearer {token}"), 400, bad, "invalid_request"),
        (bearer(token), 403, scope, "insufficient_scope"),
    ):
        answered, sent, body = call(app, judge, **headers)
        assert (answered, sent["www-authenticate"]) == (status, challenge)
        assert json.loads(body).get("error") == error
    assert call(app, judge, path="/elsewhere", **bearer(token))[0] == 403
    judge.down = True
    answered, sent, _ = call(app, judge, **bearer(token))
    assert (answered, sent["retry-after"]) == (503, "1")
    assert app.seen == []


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200),
        ("/b\xc3\xbccher", 200),
        ("/b\xfccher", 403),
        ("/orders/../health", 403),
        ("", 403),
    ],
)
def test_public_routes_and_unclear_paths(
    app: App, judge: SyncJudge, path: str, status: int
) -> None:
    routes = {"/health": PUBLIC, "/{name}": PUBLIC}
    assert call(app, judge, path=path, settings={"routes": routes})[0] == status
    assert judge.asked == []


def test_cookies(app: App, judge: SyncJudge, issuer: Issuer) -> None:
    token = issuer.token(scopes=["orders.read", "orders.write"])
    cookie = {"HTTP_COOKIE": f"a=b; __Host-access={token}"}
    settings = {"cookie": CookieAuth(), "hide_token": True}
    assert call(app, judge, **cookie)[0] == 401
    assert call(app, judge, settings=settings, **cookie)[0] == 200
    assert app.seen[-1]["HTTP_COOKIE"] == "a=b"
    post: dict[str, Any] = {"method": "POST", "settings": settings, **cookie}
    assert call(app, judge, **post)[0] == 403
    assert call(app, judge, **post, HTTP_SEC_FETCH_SITE="same-origin")[0] == 200
    evil = {"HTTP_ORIGIN": "https://evil.example", "HTTP_HOST": "app.example"}
    assert call(app, judge, **post, **evil)[0] == 403
    own = {"HTTP_ORIGIN": "https://app.example", "HTTP_HOST": "app.example"}
    assert call(app, judge, **post, **own)[0] == 200
    alone = {"HTTP_COOKIE": f"__Host-access={token}"}
    assert call(app, judge, settings=settings, **alone)[0] == 200
    assert "HTTP_COOKIE" not in app.seen[-1]


def test_hiding_the_token(app: App, judge: SyncJudge, issuer: Issuer) -> None:
    token = issuer.token(scopes=["orders.read"])
    settings = {"hide_token": True}
    assert call(app, judge, settings=settings, **bearer(token))[0] == 200
    basic = {"HTTP_AUTHORIZATION": "Basic eA=="}
    assert call(app, judge, path="/health", settings=settings, **basic)[0] == 200
    assert "HTTP_AUTHORIZATION" not in app.seen[0]
    assert app.seen[1]["HTTP_AUTHORIZATION"] == "Basic eA=="


def test_tokens_bound_to_a_certificate(app: App, judge: SyncJudge, issuer: Issuer) -> None:
    pem, thumbprint = shown()
    other, _ = shown("other")
    token = bearer(issuer.token(scopes=["orders.read"], confirmation=thumbprint))
    assert call(app, judge, **token, SSL_CLIENT_CERT=pem)[0] == 200
    for wrong in (other, "", "nonsense"):
        assert call(app, judge, **token, SSL_CLIENT_CERT=wrong)[0] == 401
    assert call(app, judge, **token, HTTP_SSL_CLIENT_CERT=pem)[0] == 401, "from the client"
    settings = {"confirmation": lambda _: thumbprint}
    assert call(app, judge, settings=settings, **token)[0] == 200
