"""A client that speaks HTTP/2 frame by frame and keeps none of the rules that it does not like."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from tests.bench.blast import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW,
    LARGE_WINDOW,
    PING,
    PREFACE,
    RESET,
    SETTINGS,
    WINDOW,
    frame,
    remembered,
    spelt_out,
)

PRIORITY, CONTINUATION = 2, 9
CANCEL = (8).to_bytes(4, "big")
"""The error code of RFC 9113 that says that nobody wants the reply any more."""


def call_headers(
    method: str, more: Iterable[tuple[str, str]] = ()
) -> Sequence[tuple[bytes, bytes]]:
    """The headers of one gRPC call; the same call may be made many times with them."""
    return [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", method.encode()),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *((name.encode(), value.encode()) for name, value in more),
    ]


def message(payload: bytes, *, flag: bytes = b"\0") -> bytes:
    """One message as gRPC frames it."""
    return flag + len(payload).to_bytes(4, "big") + payload


class RawConnection(asyncio.Protocol):
    """One connection. It acknowledges settings and pings, and counts what comes back."""

    def __init__(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.headers = headers
        self.ended = 0
        self.resets: list[int] = []
        self.goaway: bytes | None = None
        self.closed = asyncio.Event()
        self._next = 1
        self._buffer = b""
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        settings = b"\0\4" + LARGE_WINDOW.to_bytes(4, "big")
        ample = (LARGE_WINDOW - INITIAL_WINDOW).to_bytes(4, "big")
        transport.write(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW, 0, 0, ample))

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.closed.set()
        self._may_write.set()

    def eof_received(self) -> None:
        self._transport.abort()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        buffer, at = self._buffer + data, 0
        while len(buffer) - at >= 9:
            end = at + 9 + int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) < end:
                break
            self._frame(buffer[at + 3], buffer[at + 4], buffer[at + 9 : end])
            at = end
        self._buffer = buffer[at:]

    def _frame(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == HEADERS and flags & END_STREAM:
            self.ended += 1
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._transport.write(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind == RESET:
            self.resets.append(int.from_bytes(payload, "big"))
        elif kind == GOAWAY:
            self.goaway = payload

    async def send(self, frames: bytes) -> None:
        """Write when the other side takes it. Raises ConnectionError once it is closed."""
        await self._may_write.wait()
        if self.closed.is_set():
            raise ConnectionError("the server closed the connection")
        self._transport.write(frames)

    def opening(self, *, flags: int = END_HEADERS) -> tuple[int, bytes]:
        """A new stream's number, and its HEADERS frame."""
        stream, self._next = self._next, self._next + 2
        block = (spelt_out if stream == 1 else remembered)(self.headers)
        return stream, frame(HEADERS, flags, stream, block)

    def call(self, body: bytes = b"", *, reset: bool = False) -> bytes:
        """The frames of one call: its headers, what there is of its body, and maybe a reset."""
        stream, frames = self.opening()
        if body:
            frames += frame(DATA, END_STREAM, stream, body)
        if reset:
            frames += frame(RESET, 0, stream, CANCEL)
        return frames

    def unfinished(self, body: bytes) -> bytes:
        """The frames of a call with the first part of a body, sent whatever the window."""
        stream, frames = self.opening()
        for at in range(0, len(body), 16_384):
            frames += frame(DATA, 0, stream, body[at : at + 16_384])
        return frames

    def abort(self) -> None:
        """Hang up."""
        self._transport.abort()


@asynccontextmanager
async def raw_connection(
    address: str, headers: Sequence[tuple[bytes, bytes]]
) -> AsyncIterator[RawConnection]:
    """A connection, closed at the end of the block."""
    host, _, port = address.rpartition(":")
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: RawConnection(headers), host, int(port))
    try:
        yield connection
    finally:
        connection.abort()


__all__ = [
    "ACK",
    "CONTINUATION",
    "DATA",
    "END_HEADERS",
    "END_STREAM",
    "HEADERS",
    "PING",
    "PRIORITY",
    "SETTINGS",
    "WINDOW",
    "RawConnection",
    "call_headers",
    "frame",
    "message",
    "raw_connection",
    "spelt_out",
]
