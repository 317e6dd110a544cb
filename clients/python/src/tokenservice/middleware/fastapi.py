"""What a FastAPI route demands, said where the route is.

    protect(app, validator, audience="orders")

    @app.get("/orders/{order_id}")
    async def order(
        order_id: str, caller: Annotated[Principal, Depends(require(scopes=["orders.read"]))]
    ) -> ...

A route without the dependency is open. For default deny give the application one that demands
nothing but a good token, ``FastAPI(dependencies=[Depends(require())])``, or put
:class:`tokenservice.middleware.asgi.TokenMiddleware` around it, whose table :func:`describe` puts
into the OpenAPI document. A WebSocket route is judged at its handshake only; that middleware also
ends it with its token.

The OpenAPI document shows for each protected operation the security schemes, the scopes, and the
responses 401 and 403 with their bodies and challenges.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, HTTPException
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from tokenservice._decisions.decision import OnStale, Principal, Validates
from tokenservice.middleware import _openapi
from tokenservice.middleware._bearer import CookieAuth, presented
from tokenservice.middleware._common import (
    Refusal,
    Refused,
    admitted,
    check_audience,
    demand,
)
from tokenservice.middleware._routes import Route, RouteTable
from tokenservice.middleware.asgi import headers_of, method_of, tls_thumbprint, with_principal

SCHEME_NAME: Final = _openapi.SCHEME
"""Name of the security scheme in the OpenAPI document."""

_DEMANDS: Final = "x-tokenservice-demands"


@dataclass(frozen=True, slots=True)
class _Protection:
    validator: Validates
    audience: str
    cookie: CookieAuth | None
    confirmation: Callable[[Any], bytes]


def protect(
    app: FastAPI,
    validator: Validates,
    *,
    audience: str,
    cookie: CookieAuth | None = None,
    confirmation: Callable[[Any], bytes] | None = None,
) -> None:
    """Say who judges the tokens of an application, before it serves.

    The arguments are those of :class:`tokenservice.middleware.asgi.TokenMiddleware`. An
    application that is mounted in another needs a call of its own.
    """
    app.state.tokenservice = _Protection(
        validator, check_audience(audience), cookie, confirmation or tls_thumbprint
    )
    _amend(app, partial(_show_dependencies, cookie=cookie))


def describe(
    app: FastAPI, routes: Mapping[str, Route], *, cookie: CookieAuth | None = None
) -> None:
    """Show in the OpenAPI document what the ``routes`` of a ``TokenMiddleware`` demand.

    The middleware stands around the application and has the same ``routes`` and ``cookie``. What
    the table does not name is shown as refused to everybody.
    """
    _amend(app, partial(_show_table, table=RouteTable(routes), cookie=cookie))


def require(
    *,
    scopes: Collection[str] = (),
    max_auth_age: timedelta | None = None,
    acr: str = "",
    audience: str = "",
    on_stale: OnStale = "ask",
) -> "TokenRequired":
    """Make a dependency that gives the caller; see :class:`Route` for the arguments.

    Scopes that FastAPI's ``Security(…, scopes=[…])`` names are demanded as well. A request without
    a good token ends with the status and ``WWW-Authenticate`` of RFC 6750 and RFC 9470. An
    application that was not protected answers 500.
    """
    return TokenRequired(
        Route(
            scopes=scopes, max_auth_age=max_auth_age, acr=acr, audience=audience, on_stale=on_stale
        )
    )


class TokenRequired(SecurityBase):
    """The dependency that :func:`require` makes; it stands in the OpenAPI document."""

    def __init__(self, route: Route) -> None:
        # FastAPI writes this scheme into the document; _show_dependencies reads the demands off
        # it and puts the one scheme of all dependencies in its place.
        demands = _demands(route)
        name = sha256(repr(sorted(demands.items())).encode()).hexdigest()[:16]
        self.scheme_name = f"{SCHEME_NAME}.{name}"
        self.model = HTTPBearer.model_validate({_DEMANDS: demands})
        self._route = route

    async def __call__(self, connection: HTTPConnection, security: SecurityScopes) -> Principal:
        """Judge the request's token and give its principal."""
        protection: _Protection | None = getattr(connection.app.state, "tokenservice", None)
        if protection is None:
            raise RuntimeError("protect() was not called for this application")
        route, scope = self._route, connection.scope
        if security.scopes:
            route = replace(route, scopes=frozenset(route.scopes).union(security.scopes))
        try:
            token = presented(headers_of(scope), method_of(scope), protection.cookie)
            demanded = demand(route, protection.audience, protection.confirmation(scope))
            principal = admitted(await protection.validator.validate(token, **demanded))
        except Refused as refused:
            raise _exception(refused.refusal) from None
        with_principal(scope, principal)
        return principal


def _exception(refusal: Refusal) -> HTTPException:
    headers = {name: value for name, value in refusal.headers() if name != "content-type"}
    return HTTPException(refusal.status, _detail(refusal), headers)


def _detail(refusal: Refusal) -> str:
    return refusal.error or HTTPStatus(refusal.status).phrase


_DETAIL: Final = _openapi.Body(
    "application/json",
    {"type": "object", "required": ["detail"], "properties": {"detail": {"type": "string"}}},
    lambda refusal: {"detail": _detail(refusal)},
)
"""The body of FastAPI's own refusals."""


def _amend(app: FastAPI, amend: Callable[[dict[str, Any]], None]) -> None:
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()  # the same one each time, while no route is added
        amend(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend it


def _show_dependencies(document: dict[str, Any], *, cookie: CookieAuth | None) -> None:
    schemes = document.get("components", {}).get("securitySchemes", {})
    ours = {name: scheme[_DEMANDS] for name, scheme in schemes.items() if _DEMANDS in scheme}
    shown: set[str] = set()
    for _, method, operation in _openapi.operations(document):
        there = operation.get("security", [])
        named: dict[str, set[str]] = {}
        for name, scopes in (item for one in there for item in one.items()):
            if name in ours:
                named.setdefault(name, set(ours[name]["scopes"])).update(scopes)
        if not named:
            continue
        shown |= named.keys()
        operation["security"] = [one for one in there if one.keys().isdisjoint(ours)]
        demands = [
            _openapi.Demanded(**{**ours[name], "scopes": scopes}) for name, scopes in named.items()
        ]
        _openapi.show_demands(document, operation, method, demands, cookie, _DETAIL)
    for name in shown:
        del schemes[name]


def _show_table(document: dict[str, Any], *, table: RouteTable, cookie: CookieAuth | None) -> None:
    for path, method, operation in _openapi.operations(document):
        route = table.find(method, path)
        if route is None:
            _openapi.show_refused(operation, _openapi.PROBLEM)
        elif not route.public:
            demands = [_openapi.Demanded(**_demands(route))]
            _openapi.show_demands(document, operation, method, demands, cookie, _openapi.PROBLEM)


def _demands(route: Route) -> dict[str, Any]:
    age = route.max_auth_age
    return {
        "scopes": sorted(route.scopes),
        "max_auth_age": None if age is None else age.total_seconds(),
        "acr": route.acr,
    }
