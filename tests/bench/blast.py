"""One call over and over on many connections, at the least cost to the loading side: HTTP/2 frames
made beforehand, replies only counted. For comparing servers on a machine that the load shares with
them; whether calls ended OK is read from the server's own counters.

Reads one job from stdin, in JSON, and answers with a line of JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import uvloop

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS = 4
INITIAL_WINDOW = 65_535
LARGE_WINDOW = 2**31 - 1
STATIC_TABLE = 61

Job = dict[str, Any]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """RFC 9113, 4.1."""
    return (
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
    )


def spelt_out(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Each header as a literal that the peer remembers (RFC 7541, 6.2.1); for names and values of
    less than 127 bytes or a length in two bytes."""
    return b"".join(b"\x40" + _text(name) + _text(value) for name, value in headers)


def remembered(headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The same again: the newest has the lowest index (RFC 7541, 2.3.3)."""
    return bytes(0x80 | (STATIC_TABLE + len(headers) - number) for number in range(len(headers)))


def _text(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes((len(text),)) + text
    rest = len(text) - 127
    return bytes((127, rest & 127 | 128, rest >> 7)) + text


class Connection(asyncio.Protocol):
    """Keeps so many calls in flight until told to stop."""

    def __init__(self, job: Job) -> None:
        self.ended = 0
        self.failure = ""
        self.stopping = False
        self.idle = asyncio.get_running_loop().create_future()
        message = bytes.fromhex(job["request"])
        self._body = b"\0" + len(message).to_bytes(4, "big") + message
        self._headers = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", job["method"].encode()),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"authorization", job["authorization"].encode()),
        ]
        self._in_flight = job["in_flight"]
        self._flying = 0
        self._next = 1
        self._window = INITIAL_WINDOW
        self._buffer = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        ample = (LARGE_WINDOW - INITIAL_WINDOW).to_bytes(4, "big")
        settings = b"\0\4" + LARGE_WINDOW.to_bytes(4, "big")
        transport.write(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW, 0, 0, ample))
        self._fill()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.idle.done():
            self.failure = self.failure or f"connection lost: {exc}"
            self.idle.set_result(None)

    def data_received(self, data: bytes) -> None:
        buffer, at = self._buffer + data, 0
        while len(buffer) - at >= 9:
            end = at + 9 + int.from_bytes(buffer[at : at + 3], "big")
            if len(buffer) < end:
                break
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
            self._frame(buffer[at + 3], buffer[at + 4], stream, buffer[at + 9 : end])
            at = end
        self._buffer = buffer[at:]
        self._fill()

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS and flags & END_STREAM:
            self.ended += 1
            self._flying -= 1
        elif kind == WINDOW and stream == 0:
            self._window += int.from_bytes(payload, "big")
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._transport.write(frame(kind, ACK, 0, payload if kind == PING else b""))
        elif kind in (RESET, GOAWAY):
            self.failure = f"frame {kind}: {payload!r}"

    def _fill(self) -> None:
        frames = []
        while (
            not self.stopping and self._flying < self._in_flight and self._window >= len(self._body)
        ):
            block = (spelt_out if self._next == 1 else remembered)(self._headers)
            frames.append(frame(HEADERS, END_HEADERS, self._next, block))
            frames.append(frame(DATA, END_STREAM, self._next, self._body))
            self._window -= len(self._body)
            self._next += 2
            self._flying += 1
        if frames:
            self._transport.write(b"".join(frames))
        elif self.stopping and not self._flying and not self.idle.done():
            self.idle.set_result(None)


async def run(job: Job) -> dict[str, Any]:
    """Call for so many seconds; the number of calls that ended, and of seconds that they took."""
    loop = asyncio.get_running_loop()
    host, _, port = job["address"].rpartition(":")
    begin, cpu = time.perf_counter(), time.process_time()
    made = [
        (await loop.create_connection(lambda: Connection(job), host, int(port)))
        for _ in range(job["connections"])
    ]
    await asyncio.sleep(job["seconds"])
    for _, connection in made:
        connection.stopping = True
    await asyncio.wait([connection.idle for _, connection in made], timeout=20)
    seconds = time.perf_counter() - begin
    for transport, _ in made:
        transport.abort()
    return {
        "calls": sum(connection.ended for _, connection in made),
        "seconds": seconds,
        "cpu_seconds": time.process_time() - cpu,
        "failures": sorted({connection.failure for _, connection in made} - {""}),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(run(json.loads(sys.stdin.readline())))) + "\n")
