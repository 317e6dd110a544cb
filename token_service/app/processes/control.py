"""What a supervisor and its workers tell each other: JSON, a line each, over a pair of sockets.

A worker says `{"serving": address}` once it does, `{"refused": text}` where the operator has to
change something first, and `{"counts": …, "unready": text}` every second, at its end, when it is
asked and whenever the text changes, which says why it should be sent no calls and is empty while
it should. The supervisor says `{"do": "count", "asked": n}` (the answer repeats n) and
`{"do": "hand over"}`. The end of the line, however it comes, means that the other one is gone.
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from typing import Any, Self

MAX_LINE = 1024 * 1024
MAX_WAITING = 256 * 1024
"""Bytes that may wait for the other one to read them, before what can be left out is."""


class ControlLine:
    """One end of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        """Take over one end of a pair of Unix sockets."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=MAX_LINE))

    @property
    def congested(self) -> bool:
        """Whether the other one has not read for some time."""
        return self._writer.transport.get_write_buffer_size() > MAX_WAITING

    def send(self, **message: Any) -> None:  # noqa: ANN401 - whatever JSON has
        """Say it; lost where nobody listens any more."""
        if not self._writer.transport.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """What the other one says, until it is gone. What cannot be understood is skipped: the
        two may be of different versions."""
        while line := await self._line():
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if isinstance(message, dict):
                yield message

    async def _line(self) -> bytes:
        try:
            return await self._reader.readline()
        except ConnectionError:
            return b""

    def keep(self) -> int:
        """The descriptor of this end, which from now on outlives the program in this process."""
        descriptor: int = self._writer.get_extra_info("socket").fileno()
        os.set_inheritable(descriptor, True)
        return descriptor

    async def close(self) -> None:
        """Say no more, once all was heard."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return
