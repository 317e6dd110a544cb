"""WSGI middleware, for Flask, Django and every other WSGI application (PEP 3333).

    app.wsgi_app = TokenMiddleware(
        app.wsgi_app,
        validator=validator,
        audience="orders",
        routes={"GET /orders/{id}": Route(scopes=["orders.read"]), "/health": PUBLIC},
    )

The application finds the caller in ``environ["tokenservice.principal"]``. Apache's mod_wsgi
keeps the Authorization header to itself unless ``WSGIPassAuthorization On`` is set. A response
is judged at its beginning only: one that streams for long is not broken off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tokenservice.middleware._bearer import CookieAuth, presented, without_cookie
from tokenservice.middleware._common import (
    PRINCIPAL_KEY,
    Refusal,
    Refused,
    admitted,
    check_audience,
    demand,
    listed,
    thumbprint,
)
from tokenservice.middleware._routes import WEBSOCKET, Route, RouteTable

if TYPE_CHECKING:
    from tokenservice._decisions.decision import Principal, ValidatesSync

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
App: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]
Resolver: TypeAlias = Callable[[Environ], Route | None]

_VARIABLES: Final = {
    "authorization": "HTTP_AUTHORIZATION",
    "cookie": "HTTP_COOKIE",
    "host": "HTTP_HOST",
    "origin": "HTTP_ORIGIN",
    "sec-fetch-site": "HTTP_SEC_FETCH_SITE",
}


class TokenMiddleware:
    """Lets a request through to ``app`` when its token may do what its route demands.

    ``routes`` is a table (see :class:`RouteTable`) or a function of the environ; a request
    whose route it does not name is refused. ``audience`` is what tokens must have been issued
    for. ``cookie`` allows tokens in a cookie as well. ``confirmation`` gives the SHA-256
    thumbprint of the client's certificate, b"" for none; by default it is read from
    SSL_CLIENT_CERT, which the server sets. With ``hide_token`` the application does not see
    the token.
    """

    def __init__(
        self,
        app: App,
        *,
        validator: ValidatesSync,
        audience: str,
        routes: Mapping[str, Route] | Resolver,
        cookie: CookieAuth | None = None,
        confirmation: Callable[[Environ], bytes] | None = None,
        hide_token: bool = False,
    ) -> None:
        self._app = app
        self._validator = validator
        self._audience = check_audience(audience)
        self._resolve = by_path(RouteTable(routes)) if isinstance(routes, Mapping) else routes
        self._cookie = cookie
        self._confirmation = confirmation or tls_thumbprint
        self._hide_token = hide_token

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        try:
            route = listed(self._resolve(environ))
            if not route.public:
                environ[PRINCIPAL_KEY] = self._admit(environ, route)
        except Refused as refused:
            return _refuse(refused.refusal, start_response)
        if self._hide_token:
            self._remove_token(environ)
        return self._app(environ, start_response)

    def _admit(self, environ: Environ, route: Route) -> Principal:
        headers = {
            name: [environ[variable]]
            for name, variable in _VARIABLES.items()
            if variable in environ
        }
        token = presented(headers, environ["REQUEST_METHOD"], self._cookie)
        demanded = demand(route, self._audience, self._confirmation(environ))
        return admitted(self._validator.validate(token, **demanded))

    def _remove_token(self, environ: Environ) -> None:
        if environ.get("HTTP_AUTHORIZATION", "").strip().lower().startswith("bearer"):
            del environ["HTTP_AUTHORIZATION"]
        if self._cookie is not None and "HTTP_COOKIE" in environ:
            kept = without_cookie(environ.pop("HTTP_COOKIE"), self._cookie.name)
            if kept:
                environ["HTTP_COOKIE"] = kept


def by_path(table: RouteTable) -> Resolver:
    """Find routes by the method and the path below the application's mount point."""

    def resolve(environ: Environ) -> Route | None:
        try:
            # PEP 3333: the bytes of the path, each shown as the character of its number.
            path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8")
        except UnicodeError:
            return None
        method = environ["REQUEST_METHOD"]
        # No request has the name that stands for handshakes.
        return None if method == WEBSOCKET else table.find(method, path)

    return resolve


def tls_thumbprint(environ: Environ) -> bytes:
    """Read the client's certificate as mod_ssl and others pass it on; b"" where there is none."""
    return thumbprint(environ.get("SSL_CLIENT_CERT", ""))


def _refuse(refusal: Refusal, start_response: StartResponse) -> list[bytes]:
    body = refusal.body()
    headers = [*refusal.headers(), ("content-length", str(len(body)))]
    start_response(f"{refusal.status} {HTTPStatus(refusal.status).phrase}", headers)
    return [body]
