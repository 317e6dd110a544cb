"""Connections that come from another address of this machine than the usual 127.0.0.1."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def seen_from(source: str, target: str) -> AsyncIterator[str]:
    """An address at which `target` (host:port) answers, and takes all who come for `source`."""
    host, _, port = target.rpartition(":")

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, out = await asyncio.open_connection(host, int(port), local_addr=(source, 0))
        with suppress(OSError):
            await asyncio.wait(
                [
                    asyncio.create_task(_pump(reader, out)),
                    asyncio.create_task(_pump(there, writer)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
        for end in (out, writer):
            end.close()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield "{}:{}".format(*server.sockets[0].getsockname())
    finally:
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
