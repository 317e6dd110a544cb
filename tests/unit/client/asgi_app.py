"""An application behind the ASGI middleware, and what belongs to it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tokenservice import PUBLIC, Route
from tokenservice.middleware.asgi import TokenMiddleware

ROUTES = {
    "GET /orders": Route(scopes=["orders.read"]),
    "POST /orders": Route(scopes=["orders.write"]),
    "POST /payments": Route(max_auth_age=timedelta(seconds=600), acr="aal2"),
    "GET /billing": Route(audience="billing", on_stale="allow_until_expiry"),
    "WEBSOCKET /feed": Route(scopes=["orders.read"]),
    "GET /stream": Route(scopes=["orders.read"]),
    "/health": PUBLIC,
}
Seen = list[dict[str, Any]]


async def respond(send: Any, body: bytes = b"ok") -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


class App:
    """Remembers what it saw."""

    def __init__(self) -> None:
        self.seen: Seen = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope)
        if scope["type"] == "http":
            await respond(send)
        elif scope["type"] == "websocket":
            assert (await receive())["type"] == "websocket.connect"
            await send({"type": "websocket.accept"})


Wrap = Callable[..., TokenMiddleware]


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}
