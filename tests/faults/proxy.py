"""A network that can be cut: a TCP proxy in front of one server."""

import asyncio
import ssl
from types import TracebackType
from typing import Self


class Proxy:
    """Forwards to one address until it is told to swallow everything or to hang up.

    `target` is `host:port` or the path of a Unix socket. It may be changed; connections that are
    open stay where they are. `delay` is in seconds, on each way.
    With `tls` the proxy ends the TLS that its callers speak. `accepted` counts connections.
    """

    def __init__(self, target: str, *, tls: ssl.SSLContext | None = None) -> None:
        self.target = target
        self.address = ""
        self.accepted = 0
        self._tls = tls
        self._through = asyncio.Event()
        self._through.set()
        self._replies = asyncio.Event()
        self._replies.set()
        self.delay = 0.0
        self.swallowed = 0
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        host, port = self._server.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def swallow(self) -> None:
        """From now on nothing gets through, and nobody is told."""
        self._through.clear()

    def swallow_replies(self) -> None:
        """From now on requests get through, and nothing comes back."""
        self._replies.clear()

    def forget(self) -> None:
        """Let all that is open carry nothing any more, as a firewall does that lost its memory.

        Nobody is told, and new connections are well.
        """
        self._through.clear()
        self._through = asyncio.Event()
        self._through.set()

    def cut(self) -> None:
        """Hang up on everybody, and on whoever calls."""
        self._refusing = True
        self._through.set()
        self._replies.set()
        for writer in tuple(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        """Forward again."""
        self._refusing = False
        self.delay = 0.0
        self._through.set()
        self._replies.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self._refusing:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await self._reach()
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, far_writer}
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            gates = (self._through,) if source is reader else (self._through, self._replies)
            task = asyncio.create_task(self._pump(source, sink, gates))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self.target.startswith("/"):
            return await asyncio.open_unix_connection(self.target)
        host, _, port = self.target.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        gates: tuple[asyncio.Event, ...],
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await source.read(65536):
                for gate in gates:
                    if not gate.is_set():
                        self.swallowed += 1
                        await gate.wait()
                if self.delay:
                    loop.call_later(self.delay, _write, sink, data)
                else:
                    sink.write(data)
                    await sink.drain()
        except OSError:
            pass
        finally:
            self._writers.discard(sink)
            sink.transport.abort()


def _write(sink: asyncio.StreamWriter, data: bytes) -> None:
    """Unless it was hung up on meanwhile."""
    if not sink.transport.is_closing():
        sink.write(data)
