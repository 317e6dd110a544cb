"""A small HTTP server for programs of one's own network: GET, a few pages, no TLS.

It runs on a thread and a loop of its own, so a slow client never keeps the service waiting, and it
can still answer when the service cannot. One request per connection
(RFC 9112); what a client may cost is bounded.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from socket import socket

import structlog

MAX_HEAD = 8 * 1024
"""Bytes of a request's first line and headers."""

MAX_CONNECTIONS = 32
"""At the same time. One more ends the oldest, so that idle ones keep no probe out."""

PATIENCE = 5.0
"""How long the head of a request may take to arrive, and a reply to be taken, in seconds."""

_END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a page says; without a type it is plain text."""

    body: bytes
    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str] = field(default_factory=dict)


Headers = Mapping[str, str]
"""Of a request, by name in lower case."""

Page = Callable[[Headers], Awaitable[Reply]]
"""Called on the server's loop, which it must not block."""

_log = structlog.stdlib.get_logger("token_service.http")


class PlainHttp:
    """Serves pages by path on sockets that are bound."""

    def __init__(self, sockets: Sequence[socket], pages: Mapping[str, Page]) -> None:
        self._sockets = sockets
        self._pages = pages
        self._open: dict[asyncio.Task[None], None] = {}
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="plain-http", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        """Answer nobody any more."""
        self._loop.call_soon_threadsafe(self._closing.set)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        servers = [
            await asyncio.start_server(self._accept, sock=one, limit=MAX_HEAD)
            for one in self._sockets
        ]
        await self._closing.wait()
        for server in servers:
            server.close()
        for connection in tuple(self._open):
            connection.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await asyncio.sleep(0)  # in which their transports close

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            next(iter(self._open)).cancel()
        connection = self._loop.create_task(self._converse(reader, writer))
        self._open[connection] = None

        def ended(_: object) -> None:
            del self._open[connection]
            writer.transport.abort()  # does nothing where it was closed in order

        connection.add_done_callback(ended)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                head = await _head(reader)
            reply, body_too = await self._answer(head)
            writer.write(_encoded(reply, body_too=body_too))
            async with asyncio.timeout(PATIENCE):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError):
            return  # the client is gone, or takes too long

    async def _answer(self, head: bytes | None) -> tuple[Reply, bool]:
        """The reply, and whether its body is wanted."""
        if head is None:
            return _refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE), True
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        match first.split(" "):
            case [method, target, "HTTP/1.0" | "HTTP/1.1"]:
                return await self._page(method, target, _headers(lines)), method != "HEAD"
        return _refusal(HTTPStatus.BAD_REQUEST), True

    async def _page(self, method: str, target: str, headers: Headers) -> Reply:
        page = self._pages.get(target.partition("?")[0])
        if page is None:
            return _refusal(HTTPStatus.NOT_FOUND)
        if method not in ("GET", "HEAD"):
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET, HEAD")
        try:
            return await page(headers)
        except Exception:  # noqa: BLE001 - to be logged without what its text may hold
            _log.exception("page_failed", path=target.partition("?")[0])
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR)


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    """The request up to its empty line; None where that is too long. Raises EOFError."""
    with suppress(asyncio.LimitOverrunError):
        return await reader.readuntil(_END_OF_HEAD)
    return None


def _headers(lines: Sequence[str]) -> Headers:
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _refusal(status: HTTPStatus, **headers: str) -> Reply:
    return Reply(f"{status.phrase}\n".encode(), status, headers)


def _encoded(reply: Reply, *, body_too: bool) -> bytes:
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        **reply.headers,
        "Content-Length": str(len(reply.body)),
        "Cache-Control": "no-store",
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {reply.status.value} {reply.status.phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (reply.body if body_too else b"")
