"""A proxy before PostgreSQL: it counts round trips, and makes them as long as those to far away."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

_READY = b"Z\x00\x00\x00\x05"
"""ReadyForQuery: the last message of each answer."""

_SOCKET = ".s.PGSQL.5432"


class SlowPostgres:
    """Passes bytes on to the server of `dsn`, which listens in a folder; it listens in `folder`.

    `delay` is in seconds, for each direction; `trips` counts what the server has answered,
    connections included.
    """

    def __init__(self, dsn: str, folder: Path) -> None:
        (self._behind,) = parse_qs(urlsplit(dsn).query)["host"]
        self._folder = folder
        self.dsn = dsn.replace(self._behind, str(folder))
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.delay = 0.0
        self.trips = 0

    async def __aenter__(self) -> Self:
        path = str(self._folder / _SOCKET)
        self._server = await asyncio.start_unix_server(self._accept, path)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind = await asyncio.open_unix_connection(f"{self._behind}/{_SOCKET}")
        tasks = [
            asyncio.create_task(self._pass(reader, behind[1], lambda _: None)),
            asyncio.create_task(self._pass(behind[0], writer, self._count())),
        ]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for end in (writer, behind[1]):
            end.close()
            with suppress(ConnectionError):
                await end.wait_closed()

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seen: Callable[[bytes], None],
    ) -> None:
        """Later, and in order; what comes meanwhile is not held up by what is on its way."""
        loop = asyncio.get_running_loop()
        while data := await reader.read(65_536):
            seen(data)
            if self.delay:
                loop.call_later(self.delay, writer.write, data)
            else:
                writer.write(data)

    def _count(self) -> Callable[[bytes], None]:
        rest = b""

        def count(data: bytes) -> None:
            nonlocal rest
            self.trips += (rest + data).count(_READY)
            rest = data[-len(_READY) + 1 :]

        return count
