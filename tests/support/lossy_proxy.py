"""A TCP proxy that can lose the reply to a call that was carried out."""

import asyncio
from contextlib import suppress
from typing import Final, Self

_FRAME_HEADER: Final = 9
_HEADERS: Final = 1


class LossyProxy:
    """Passes bytes on to `target`; the next `replies_to_lose` replies cut their connection instead.

    A reply is an HTTP/2 frame of type HEADERS from the server (RFC 9113, section 6.2): it says
    that the call was carried out, and never reaches the client.
    """

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self.replies_to_lose = 0
        self.lost = 0
        self.accepted = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    @property
    def address(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        server_reader, server_writer = await asyncio.open_connection(*self._target)
        pumps = [
            asyncio.create_task(self._requests(reader, server_writer)),
            asyncio.create_task(self._replies(server_reader, writer)),
        ]
        self._pumps.update(pumps)
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        for end in (writer, server_writer):
            end.close()
            with suppress(ConnectionError):
                await end.wait_closed()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                header = await reader.readexactly(_FRAME_HEADER)
                payload = await reader.readexactly(int.from_bytes(header[:3]))
                if header[3] == _HEADERS and self.replies_to_lose:
                    self.replies_to_lose -= 1
                    self.lost += 1
                    return
                writer.write(header + payload)
