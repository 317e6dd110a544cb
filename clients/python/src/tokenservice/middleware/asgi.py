"""ASGI middleware, for Starlette, FastAPI and every other ASGI application.

    app = TokenMiddleware(
        app,
        validator=validator,
        audience="orders",
        routes={"GET /orders/{id}": Route(scopes=["orders.read"]), "/health": PUBLIC},
    )

The application finds the caller in ``scope["tokenservice.principal"]``, with Starlette also in
``request.state.principal``. CORS middleware belongs outside of this one, or else preflight
requests, which carry no token, are refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tokenservice._times import seconds_of
from tokenservice.middleware._bearer import HEADERS, CookieAuth, presented, without_cookie
from tokenservice.middleware._common import (
    PRINCIPAL_KEY,
    RECHECK_EVERY,
    Refusal,
    Refused,
    admitted,
    check_audience,
    demand,
    listed,
    thumbprint,
)
from tokenservice.middleware._lease import TokenEnded, until_refused, while_good
from tokenservice.middleware._routes import WEBSOCKET, Route, RouteTable

if TYPE_CHECKING:
    from datetime import timedelta

    from tokenservice._decisions.decision import Decision, Principal, Validates

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]
Resolver: TypeAlias = Callable[[Scope], Route | None]

POLICY_VIOLATION: Final = 1008
"""Close code of a WebSocket whose token is refused (RFC 6455 section 7.4.1)."""

_LAST_WORDS: Final = frozenset({"websocket.close", "websocket.http.response.start"})
_BYTES_OF: Final = {name.encode("ascii"): name for name in HEADERS}


class TokenMiddleware:
    """Lets a request through to ``app`` when its token may do what its route demands.

    ``routes`` is a table (see :class:`RouteTable`) or a function of the scope; a request whose
    route it does not name is refused. ``audience`` is what tokens must have been issued for.
    ``cookie`` allows tokens in a cookie as well. ``confirmation`` gives the SHA-256 thumbprint
    of the client's certificate, b"" for none; by default it is read from the server's TLS
    extension, where there is one. With ``hide_token`` the application does not see the token.

    A WebSocket is closed (code 1008) when its token is no longer good, which is looked at every
    ``recheck_every`` and when it expires (None: at the handshake only). With
    ``recheck_responses`` a response that is sent in parts is broken off in the same way.
    """

    def __init__(
        self,
        app: App,
        *,
        validator: Validates,
        audience: str,
        routes: Mapping[str, Route] | Resolver,
        cookie: CookieAuth | None = None,
        confirmation: Callable[[Scope], bytes] | None = None,
        hide_token: bool = False,
        recheck_every: timedelta | None = RECHECK_EVERY,
        recheck_responses: bool = False,
    ) -> None:
        self._app = app
        self._validator = validator
        self._audience = check_audience(audience)
        self._resolve = by_path(RouteTable(routes)) if isinstance(routes, Mapping) else routes
        self._cookie = cookie
        self._confirmation = confirmation or tls_thumbprint
        self._hide_token = hide_token
        self._recheck_every = seconds_of(recheck_every, "recheck_every")
        self._recheck_responses = recheck_responses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection; see the ASGI specification."""
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        if kind not in ("http", "websocket"):
            raise ValueError(f"no rule for connections of the type {kind!r}")
        try:
            route = listed(self._resolve(scope))
            visible = self._without_token(scope) if self._hide_token else scope
            if route.public:
                await self._app(visible, receive, send)
                return
            decide = self._question(scope, route)
            principal = admitted(await decide())
        except Refused as refused:
            await refuse(refused.refusal, scope, receive, send)
            return
        await self._serve(with_principal(visible, principal), receive, send, decide, principal)

    def _question(self, scope: Scope, route: Route) -> Callable[[], Awaitable[Decision]]:
        """Prepare what the validator is asked; raises Refused when there is no token to ask for."""
        token = presented(headers_of(scope), method_of(scope), self._cookie)
        demanded = demand(route, self._audience, self._confirmation(scope))
        return partial(self._validator.validate, token, **demanded)

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        decide: Callable[[], Awaitable[Decision]],
        principal: Principal,
    ) -> None:
        every, websocket = self._recheck_every, scope["type"] == "websocket"
        if every is None or not (websocket or self._recheck_responses):
            await self._app(scope, receive, send)
            return
        line = _Line(receive, send, begun=websocket)

        async def watch() -> Refusal:
            await line.streaming.wait()
            return await until_refused(decide, principal, every)

        async def work() -> None:
            await self._app(scope, line.receive, line.send)

        try:
            await while_good(work(), watch())
        except TokenEnded as ended:
            # An HTTP response is left unfinished: the server breaks the connection, so that
            # the client does not take the beginning for the whole.
            await line.cut(ended.refusal, close=websocket)

    def _without_token(self, scope: Scope) -> Scope:
        return {**scope, "headers": list(_harmless(scope["headers"], self._cookie))}


class _Line:
    """A connection that can be cut: then nothing more is sent, and the client seems gone."""

    def __init__(self, receive: Receive, send: Send, *, begun: bool) -> None:
        self._receive, self._send = receive, send
        self._closed = self._cut = False
        self.streaming = asyncio.Event()
        if begun:
            self.streaming.set()

    async def receive(self) -> Message:
        if self._cut:
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}
        return await self._receive()

    async def send(self, message: Message) -> None:
        if self._cut:
            return
        kind = message["type"]
        self._closed = self._closed or kind in _LAST_WORDS
        await self._send(message)
        if kind == "http.response.body" and message.get("more_body", False):
            self.streaming.set()

    async def cut(self, refusal: Refusal, *, close: bool) -> None:
        self._cut = True
        if not close or self._closed:
            return
        # A client that is gone needs no goodbye.
        with suppress(OSError):
            reason = {"code": POLICY_VIOLATION, "reason": refusal.error}
            await self._send({"type": "websocket.close", **reason})


def by_path(table: RouteTable) -> Resolver:
    """Find routes by the method and the path below the application's root path."""

    def resolve(scope: Scope) -> Route | None:
        path, root = scope["path"], scope.get("root_path", "").rstrip("/")
        if root and path.startswith(f"{root}/"):
            path = path[len(root) :]
        method = method_of(scope)
        if (method == WEBSOCKET) is not (scope["type"] == "websocket"):
            return None  # no request has the name that stands for handshakes
        return table.find(method, path)

    return resolve


def method_of(scope: Scope) -> str:
    """Give the method of a request, ``WEBSOCKET`` for a handshake."""
    return WEBSOCKET if scope["type"] == "websocket" else scope["method"]


def headers_of(scope: Scope) -> dict[str, list[str]]:
    """Give the values of the headers that say who is calling."""
    found: dict[str, list[str]] = {}
    for raw, value in scope["headers"]:
        name = _BYTES_OF.get(raw.lower())
        if name is not None:
            found.setdefault(name, []).append(value.decode("latin-1"))
    return found


def tls_thumbprint(scope: Scope) -> bytes:
    """Read the client's certificate from the ASGI TLS extension; b"" where there is none."""
    tls = (scope.get("extensions") or {}).get("tls") or {}
    chain = tls.get("client_cert_chain")
    if not chain or tls.get("client_cert_error"):
        return b""
    return thumbprint(next(iter(chain)))


def with_principal(scope: Scope, principal: Principal) -> Scope:
    """Give a scope in which the application finds its caller."""
    # The state is shared with whatever stands outside, such as an access log.
    scope.setdefault("state", {})["principal"] = principal
    return {**scope, PRINCIPAL_KEY: principal}


async def refuse(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Send a refusal. A WebSocket handshake gets it too, where the server can do that."""
    prefix = "http.response"
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        prefix = "websocket.http.response"
    body = refusal.body()
    headers = [*refusal.headers(), ("content-length", str(len(body)))]
    raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
    await send({"type": f"{prefix}.start", "status": refusal.status, "headers": raw})
    await send({"type": f"{prefix}.body", "body": body})


def _harmless(
    headers: Iterable[tuple[bytes, bytes]], cookie: CookieAuth | None
) -> Iterable[tuple[bytes, bytes]]:
    for raw, value in headers:
        name = raw.lower()
        if name == b"authorization" and value.strip().lower().startswith(b"bearer"):
            continue
        if name == b"cookie" and cookie is not None:
            kept = without_cookie(value.decode("latin-1"), cookie.name)
            if not kept:
                continue
            yield raw, kept.encode("latin-1")
            continue
        yield raw, value
