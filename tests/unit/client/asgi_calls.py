"""ASGI connections without a server."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from tokenservice.middleware.asgi import App


@dataclass
class Answer:
    """What was sent."""

    messages: list[Any] = field(default_factory=list)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def problem(self) -> Any:
        assert self.headers["content-length"] == str(len(self.messages[1]["body"]))
        return json.loads(self.messages[1]["body"])

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]


def scope(method: str = "GET", path: str = "/orders", **changes: Any) -> dict[str, Any]:
    """An HTTP request; headers by keyword, `a_b` is the header a-b."""
    headers = changes.pop("headers", {})
    pairs = headers.items() if isinstance(headers, dict) else headers
    return {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs],
        **changes,
    }


def websocket(path: str = "/feed", **changes: Any) -> dict[str, Any]:
    """A WebSocket handshake on a server that can refuse one with a response."""
    made = scope(path=path, **changes)
    del made["method"]
    return {"extensions": {"websocket.http.response": {}}, **made, "type": "websocket"}


async def call(
    app: App, connection: dict[str, Any], *incoming: dict[str, Any], answer: Answer | None = None
) -> Answer:
    """One connection; after the `incoming` messages nothing comes any more."""
    answer = answer or Answer()
    waiting = list(incoming)

    async def receive() -> Any:
        if waiting:
            return waiting.pop(0)
        return await asyncio.Event().wait()

    async def send(message: Any) -> None:
        answer.messages.append(message)

    await app(connection, receive, send)
    return answer
