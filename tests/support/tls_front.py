"""TLS before a PostgreSQL that was built without it: asked for as PostgreSQL is asked."""

import asyncio
import ssl
import struct
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.certificates import Issued

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class TlsFront:
    """Answers an SSLRequest, and forwards what it decrypts to the socket of a server."""

    def __init__(self, server: Path, certificate: Issued, folder: Path) -> None:
        self._server = server
        cert, key = folder / "front.crt", folder / "front.key"
        cert.write_bytes(certificate.certificate)
        key.write_bytes(certificate.key)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(cert, key)
        self._context.set_alpn_protocols(["postgresql"])
        self._tasks: set[asyncio.Task[None]] = set()
        self.address = ""

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._listener.sockets[0].getsockname()
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            if await reader.readexactly(8) == _SSL_REQUEST:
                writer.write(b"S")
                await writer.start_tls(self._context)
                far_reader, far_writer = await asyncio.open_unix_connection(self._server)
                self._pump(reader, far_writer)
                self._pump(far_reader, writer)
                return
        writer.close()

    def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        async def pump() -> None:
            with suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        task = asyncio.create_task(pump())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
