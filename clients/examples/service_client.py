"""A service that calls another one with a token of its own: `python service_client.py URL`."""

import asyncio
import sys

import httpx

from tokenservice import BearerAuth, Connection, TokenClient, TokenSource


async def main(url: str) -> None:
    """Call three times; there is one login, and one token until it is due for a new one."""
    async with Connection.from_env() as connection:
        source = TokenSource(TokenClient(connection), "orders", scopes=["orders.read"])
        async with source, httpx.AsyncClient(auth=BearerAuth(source)) as http:
            for _ in range(3):
                answer = await http.get(url)
                print(answer.status_code, answer.json())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
