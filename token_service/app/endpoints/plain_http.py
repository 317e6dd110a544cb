"""A small HTTP server for programs of one's own network: GET, a few pages, no TLS.

It runs on a thread and a loop of its own, so a slow client never keeps the service waiting, and it
can still answer when the service cannot. One request per connection; what a client may cost is
bounded. h11 reads and writes HTTP/1.1 (RFC 9112).
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from socket import socket

import h11
import structlog

MAX_HEAD = 8 * 1024
"""Bytes of a request's first line and headers."""

MAX_CONNECTIONS = 32
"""At the same time. One more ends the oldest, so that a probe always gets in."""

PATIENCE = 5.0
"""How long the head of a request may take to arrive, and a reply to be taken, in seconds."""

_VERSIONS = frozenset({b"1.0", b"1.1"})


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
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        try:
            async with asyncio.timeout(PATIENCE):
                request = await _request(http, reader)
            bodiless = isinstance(request, h11.Request) and request.method == b"HEAD"
            writer.write(_encoded(http, await self._answer(request), bodiless=bodiless))
            async with asyncio.timeout(PATIENCE):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError):
            return  # the client is gone, or takes too long

    async def _answer(self, request: h11.Request | HTTPStatus) -> Reply:
        if isinstance(request, HTTPStatus):
            return _refusal(request)
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers
        }
        return await self._page(
            request.method.decode("ascii"), request.target.decode("latin-1"), headers
        )

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


async def _request(http: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | HTTPStatus:
    """The request, or with which status it is refused. Raises EOFError for none."""
    try:
        while (event := http.next_event()) is h11.NEED_DATA:
            http.receive_data(await reader.read(MAX_HEAD))
    except h11.RemoteProtocolError as error:
        return HTTPStatus(error.error_status_hint)
    if isinstance(event, h11.Request):
        return event if event.http_version in _VERSIONS else HTTPStatus.BAD_REQUEST
    raise EOFError


def _refusal(status: HTTPStatus, **headers: str) -> Reply:
    return Reply(f"{status.phrase}\n".encode(), status, headers)


def _encoded(http: h11.Connection, reply: Reply, *, bodiless: bool) -> bytes:
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        **reply.headers,
        "Content-Length": str(len(reply.body)),
        "Cache-Control": "no-store",
        "Connection": "close",
    }
    encoded = http.send(
        h11.Response(
            status_code=reply.status.value,
            reason=reply.status.phrase.encode(),
            headers=list(headers.items()),
        )
    )
    body = None if bodiless else http.send(h11.Data(data=reply.body))
    return (encoded or b"") + (body or b"")
