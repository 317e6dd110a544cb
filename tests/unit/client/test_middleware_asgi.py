"""The ASGI middleware, one request at a time."""

import logging
from datetime import timedelta
from typing import Any

import pytest

from tests.support.certificates import shown
from tests.unit.client.asgi_app import ROUTES, App, Wrap, bearer
from tests.unit.client.asgi_calls import call, scope
from tests.unit.client.judges import Judge
from tokenservice import CookieAuth, Principal, Route
from tokenservice.middleware.asgi import TokenMiddleware
from tokenservice.testing import Issuer


async def test_a_good_token_reaches_the_application(wrap: Wrap, app: App, issuer: Issuer) -> None:
    token = issuer.token(scopes=["orders.read"])
    outside = scope(headers=bearer(token))
    assert (await call(wrap(), outside)).status == 200
    principal = app.seen[0]["tokenservice.principal"]
    assert isinstance(principal, Principal)
    assert principal.scopes == {"orders.read"}
    assert app.seen[0]["state"]["principal"] is principal
    assert outside["state"]["principal"] is principal, "for what stands outside"
    assert app.seen[0]["headers"] == outside["headers"]


@pytest.mark.parametrize(
    ("path", "token", "status", "header", "error"),
    [
        ("/orders", None, 401, "Bearer", None),
        ("/orders", "nonsense", 401, 'Bearer error="invalid_token"', "invalid_token"),
        ("/orders", "a b", 400, 'Bearer error="invalid_request"', "invalid_request"),
        (
            "/orders",
            {"scopes": ["other"]},
            403,
            'Bearer error="insufficient_scope", scope="orders.read"',
            "insufficient_scope",
        ),
        ("/orders", {"audience": "x"}, 401, 'Bearer error="invalid_token"', "invalid_token"),
        ("/billing", {}, 401, 'Bearer error="invalid_token"', "invalid_token"),
        (
            "/orders",
            {"expires_in": timedelta(seconds=-1)},
            401,
            'Bearer error="invalid_token"',
            "invalid_token",
        ),
        ("/elsewhere", {}, 403, None, "route_not_listed"),
        ("/orders/../health", None, 403, None, "route_not_listed"),
    ],
)
async def test_refusals(
    wrap: Wrap,
    app: App,
    issuer: Issuer,
    path: str,
    token: Any,
    status: int,
    header: str | None,
    error: str | None,
) -> None:
    text = issuer.token(**token) if isinstance(token, dict) else token
    answer = await call(wrap(), scope(path=path, headers=bearer(text) if text else {}))
    assert answer.status == status
    assert answer.headers.get("www-authenticate") == header
    assert answer.headers["cache-control"] == "no-store"
    assert answer.problem.get("error") == error
    assert answer.problem["status"] == status
    assert app.seen == []


async def test_step_up(wrap: Wrap, issuer: Issuer) -> None:
    demand = 'Bearer error="insufficient_user_authentication", max_age="600", acr_values="aal2"'
    pay = scope("POST", "/payments", headers=bearer(issuer.token()))
    refused = await call(wrap(), pay)
    assert (refused.status, refused.headers["www-authenticate"]) == (401, demand)
    strong = issuer.token(acr="aal2", amr=["pwd", "otp"])
    pay = scope("POST", "/payments", headers=bearer(strong))
    assert (await call(wrap(), pay)).status == 200
    old = issuer.token(acr="aal2", auth_time=issuer.now() - timedelta(seconds=601))
    pay = scope("POST", "/payments", headers=bearer(old))
    assert (await call(wrap(), pay)).headers["www-authenticate"] == demand


async def test_what_the_route_says_is_what_is_asked(wrap: Wrap, judge: Judge) -> None:
    await call(wrap(), scope(path="/billing", headers=bearer("x")))
    await call(wrap(), scope(headers=bearer("x")))
    asked = [(one["audience"], one["scopes"], one["on_stale"]) for one in judge.asked]
    assert asked == [
        ("billing", frozenset(), "allow_until_expiry"),
        ("orders", frozenset({"orders.read"}), "ask"),
    ]


async def test_nobody_can_answer(wrap: Wrap, app: App, judge: Judge, issuer: Issuer) -> None:
    judge.down = True
    answer = await call(wrap(), scope(headers=bearer(issuer.token(scopes=["orders.read"]))))
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "www-authenticate" not in answer.headers
    assert app.seen == []


async def test_a_validator_that_fails_lets_nobody_in(app: App) -> None:
    class Broken:
        async def validate(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("broken")

    wrapped = TokenMiddleware(app, validator=Broken(), audience="orders", routes=ROUTES)
    with pytest.raises(RuntimeError, match="broken"):
        await call(wrapped, scope(headers=bearer("x")))
    assert app.seen == []


async def test_public_routes(wrap: Wrap, app: App, judge: Judge) -> None:
    for headers in ({}, bearer("nonsense"), bearer("a b")):
        assert (await call(wrap(), scope(path="/health", headers=headers))).status == 200
    assert "tokenservice.principal" not in app.seen[0]
    assert judge.asked == []


async def test_routes_from_a_function(wrap: Wrap, issuer: Issuer) -> None:
    def route(scope: Any) -> Route | None:
        return Route() if scope["path"] == "/mine" else None

    headers = bearer(issuer.token())
    assert (await call(wrap(routes=route), scope(path="/mine", headers=headers))).status == 200
    assert (await call(wrap(routes=route), scope(headers=headers))).status == 403


@pytest.mark.parametrize(
    ("root", "path", "status"),
    [("/api", "/api/health", 200), ("/api", "/health", 200), ("/api", "/apihealth", 403)],
)
async def test_below_a_root_path(wrap: Wrap, root: str, path: str, status: int) -> None:
    assert (await call(wrap(), scope(path=path, root_path=root))).status == status


async def test_the_lifespan_passes(wrap: Wrap, app: App) -> None:
    await call(wrap(), {"type": "lifespan"})
    assert app.seen == [{"type": "lifespan"}]
    with pytest.raises(ValueError, match="no rule"):
        await call(wrap(), {"type": "something"})


async def test_two_headers(wrap: Wrap, issuer: Issuer) -> None:
    token = f"Bearer {issuer.token(scopes=['orders.read'])}"
    twice = [("authorization", token), ("Authorization", token)]
    assert (await call(wrap(), scope(headers=twice))).status == 400


async def test_cookies(wrap: Wrap, app: App, issuer: Issuer) -> None:
    token = issuer.token(scopes=["orders.read", "orders.write"])
    headers = {"cookie": f"theme=dark; __Host-access={token}"}
    assert (await call(wrap(), scope(headers=headers))).status == 401
    wrapped = wrap(cookie=CookieAuth())
    assert (await call(wrapped, scope(headers=headers))).status == 200
    forged = await call(wrapped, scope("POST", headers=headers))
    assert (forged.status, forged.problem["error"]) == (403, "cross_origin_request")
    own = {**headers, "sec-fetch-site": "same-origin"}
    assert (await call(wrapped, scope("POST", headers=own))).status == 200


async def test_hiding_the_token(wrap: Wrap, app: App, issuer: Issuer) -> None:
    token = issuer.token(scopes=["orders.read"])
    wrapped = wrap(cookie=CookieAuth(), hide_token=True)
    other = {"accept": "text/plain"}
    assert (await call(wrapped, scope(headers={**bearer(token), **other}))).status == 200
    cookies = {"cookie": f"a=b; __Host-access={token}", **other}
    assert (await call(wrapped, scope(headers=cookies))).status == 200
    assert (await call(wrapped, scope(path="/health", headers=bearer(token)))).status == 200
    basic = {"authorization": "Basic eA==", "cookie": f"__Host-access={token}"}
    assert (await call(wrapped, scope(headers=basic))).status == 200
    seen = [dict(one["headers"]) for one in app.seen]
    assert seen == [
        {b"accept": b"text/plain"},
        {b"cookie": b"a=b", b"accept": b"text/plain"},
        {},
        {b"authorization": b"Basic eA=="},
    ]


async def test_tokens_bound_to_a_certificate(wrap: Wrap, issuer: Issuer) -> None:
    pem, thumbprint = shown()
    other, _ = shown("other")
    headers = bearer(issuer.token(scopes=["orders.read"], confirmation=thumbprint))

    async def status(tls: Any, **settings: Any) -> int:
        extensions = {} if tls is None else {"tls": tls}
        return (await call(wrap(**settings), scope(headers=headers, extensions=extensions))).status

    assert await status({"client_cert_chain": [pem, other]}) == 200
    assert await status({"client_cert_chain": [other, pem]}) == 401
    assert await status({"client_cert_chain": [pem], "client_cert_error": "expired"}) == 401
    assert await status({"client_cert_chain": []}) == 401
    assert await status({"client_cert_chain": ["nonsense"]}) == 401
    assert await status(None) == 401
    assert await status(None, confirmation=lambda _: thumbprint) == 200


async def test_no_token_in_logs_and_answers(
    wrap: Wrap, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = issuer.token(scopes=["other"])
    wrapped = wrap(cookie=CookieAuth())
    attempts = (
        bearer(token),
        bearer(token + "x"),
        bearer(f"{token} {token}"),
        {"cookie": f"__Host-access={token}"},
        {**bearer(token), "cookie": f"__Host-access={token}"},
    )
    said = [
        str((await call(wrapped, scope(path=path, headers=headers))).messages)
        for headers in attempts
        for path in ("/orders", "/elsewhere")
    ]
    assert not any(part in text for part in token.split(".") for text in [*said, caplog.text])


def test_an_audience_is_needed(app: App, judge: Judge) -> None:
    with pytest.raises(ValueError, match="audience"):
        TokenMiddleware(app, validator=judge, audience="", routes=ROUTES)


@pytest.mark.parametrize("method", ["WEBSOCKET", "get", "pOST"])
async def test_a_method_that_no_rule_can_mean_is_refused_everywhere(
    wrap: Wrap, app: App, method: str
) -> None:
    """Also on public routes: the application may take it for another one."""
    for path in ("/health", "/orders"):
        assert (await call(wrap(), scope(method=method, path=path))).status == 403
    assert app.seen == []
