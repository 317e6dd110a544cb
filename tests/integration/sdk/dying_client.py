"""A process that exchanges its session and dies before it can store the successor.

Run with the server's address, the client id and the store's path; the secret comes on stdin.
"""

import asyncio
import os
import signal
import sys

from tokenservice import (
    ClientSecret,
    Connection,
    FileTokenStore,
    StoredSession,
    StoredTokens,
    TokenClient,
)


class DyingStore(FileTokenStore):
    """Dies instead of saving what an exchange gave."""

    exchanging = False

    async def save(self, stored: StoredTokens | None) -> None:
        if self.exchanging:
            os.kill(os.getpid(), signal.SIGKILL)
        self.exchanging = stored is not None and stored.pending is not None
        await super().save(stored)


async def main(address: str, client_id: str, path: str) -> None:
    credentials = ClientSecret(client_id, sys.stdin.readline().strip())
    async with Connection(address, credentials) as connection:
        client = TokenClient(connection)
        session = StoredSession(client, DyingStore(path))
        await session.start(await client.login_as_client(audiences=["orders"]))
        await session.exchange(audiences=["orders"], scopes=["orders.read"])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
