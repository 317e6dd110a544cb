"""What a FastAPI route demands, said where the route is.

    protect(app, validator, audience="orders")

    @app.get("/orders/{order_id}")
    async def order(
        order_id: str, caller: Annotated[Principal, Depends(require(scopes=["orders.read"]))]
    ) -> ...

A route without the dependency is open. For default deny give the application one that demands
nothing but a good token, ``FastAPI(dependencies=[Depends(require())])``, or put
:class:`tokenservice.middleware.asgi.TokenMiddleware` around it. A WebSocket route is judged at
its handshake only; that middleware also ends it with its token.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, HTTPException
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from tokenservice._decisions.decision import OnStale, Principal, Validates
from tokenservice.middleware.asgi import headers_of, method_of, tls_thumbprint, with_principal
from tokenservice.middleware.bearer import CookieAuth, presented
from tokenservice.middleware.common import (
    Refusal,
    Refused,
    admitted,
    check_audience,
    demand,
)
from tokenservice.middleware.routes import Route

SCHEME_NAME: Final = "TokenService"
"""Name of the security scheme in the OpenAPI document."""


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


def require(
    *,
    scopes: Collection[str] = (),
    max_auth_age: float | timedelta | None = None,
    acr: str = "",
    audience: str = "",
    on_stale: OnStale = "ask",
) -> "TokenRequired":
    """Make a dependency that gives the caller; see :class:`Route` for the arguments.

    A request without a good token ends with the status and ``WWW-Authenticate`` of RFC 6750
    and RFC 9470. An application that was not protected answers 500.
    """
    return TokenRequired(Route(scopes, max_auth_age, acr, audience, on_stale))


class TokenRequired(SecurityBase):
    """The dependency that :func:`require` makes; it stands in the OpenAPI document."""

    def __init__(self, route: Route) -> None:
        self.model = HTTPBearer(description="An access token of the token service.")
        self.scheme_name = SCHEME_NAME
        self._route = route

    async def __call__(self, connection: HTTPConnection) -> Principal:
        """Judge the request's token and give its principal."""
        protection: _Protection | None = getattr(connection.app.state, "tokenservice", None)
        if protection is None:
            raise RuntimeError("protect() was not called for this application")
        scope = connection.scope
        try:
            token = presented(headers_of(scope), method_of(scope), protection.cookie)
            demanded = demand(self._route, protection.audience, protection.confirmation(scope))
            principal = admitted(await protection.validator.validate(token, **demanded))
        except Refused as refused:
            raise _exception(refused.refusal) from None
        with_principal(scope, principal)
        return principal


def _exception(refusal: Refusal) -> HTTPException:
    headers = {name: value for name, value in refusal.headers() if name != "content-type"}
    detail = refusal.error or HTTPStatus(refusal.status).phrase
    return HTTPException(refusal.status, detail, headers)
