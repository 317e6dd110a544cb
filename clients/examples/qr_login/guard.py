"""What stands before every request: the host, the size, where a form came from; and the headers
of every answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, RedirectResponse

from .pictures import MAX_PICTURE_BYTES

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES: Final = MAX_PICTURE_BYTES + 64 * 1024

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    # Not no-referrer: browsers then send the Origin "null" along with our own forms.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=(), payment=()",
}


class Guard:
    """ASGI middleware. ``origin`` is where people reach this gateway, such as
    ``http://localhost:8080``; under another name it sends them there."""

    def __init__(self, app: ASGIApp, origin: str) -> None:
        self._app = app
        self._origin = origin
        self._host = origin.partition("://")[2]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        app = self._app if Headers(scope=scope).get("host") == self._host else self._elsewhere
        await app(scope, _limited(receive), _with_headers(send))

    async def _elsewhere(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for another name, which may be one that a stranger pointed here."""
        if scope["method"] == "GET":
            answer = RedirectResponse(self._origin + "/")
            await answer(scope, receive, send)
        else:
            await PlainTextResponse("wrong host", 400)(scope, receive, send)


def from_our_pages(request: Request, origin: str) -> bool:
    """Whether the browser says that one of our own pages sent this form.

    Sec-Fetch-Site (Fetch Metadata) and Origin cannot be set by pages; a browser that sends
    neither is refused.
    """
    site, sender = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and sender is None:
        return False
    return site in (None, "same-origin") and sender in (None, origin)


def _limited(receive: Receive) -> Receive:
    received = 0

    async def limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MAX_BODY_BYTES:
            raise HTTPException(413)
        return message

    return limited


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update(_HEADERS)
            headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending
