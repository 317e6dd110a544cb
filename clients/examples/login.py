"""What a web front end does with its users' sessions: log in, exchange, log out."""

import asyncio
import os

from tokenservice import Connection, SessionOver, TokenClient
from tokenservice.core import Platform


async def main() -> None:
    """Live through one session."""
    async with Connection.from_env() as connection:
        client = TokenClient(connection)
        first = await client.login_with_password(
            os.environ["USERNAME"],
            os.environ["PASSWORD"],
            platform=Platform.WEB,
            audiences=["orders"],
        )
        print("logged in, orders until", first.access_token("orders").expires_at)
        # One browser sends several requests at once, all with the same session token: they converge
        # on one successor, whatever each asks for and whichever host of the front end serves it.
        one, other = await asyncio.gather(
            client.exchange(first.session_token),
            client.exchange(first.session_token, scopes=["orders.read"]),
        )
        print("one successor:", one.session_token == other.session_token)
        await client.revoke(token=one.session_token)
        try:
            await client.exchange(one.session_token)
        except SessionOver as error:
            print("logged out:", error.reason)


if __name__ == "__main__":
    asyncio.run(main())
