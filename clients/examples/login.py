"""What a web front end does with its users' sessions: log in, exchange, log out."""

import asyncio
import os

from tokenservice.client import TokenClient
from tokenservice.connection import Connection
from tokenservice.core import Platform
from tokenservice.credentials import ClientSecret
from tokenservice.errors import TokenServiceError
from tokenservice.exchange_ids import DerivedExchangeId


async def main() -> None:
    """Live through one session."""
    credentials = ClientSecret(os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
    # One browser sends several requests at once, all with the same session token: with ids
    # derived from it they converge on one successor.
    key = bytes.fromhex(os.environ["EXCHANGE_KEY"])
    async with Connection(os.environ["TOKENS"], credentials) as connection:
        client = TokenClient(connection, exchange_ids=DerivedExchangeId(key))
        first = await client.login_with_password(
            os.environ["USERNAME"],
            os.environ["PASSWORD"],
            platform=Platform.WEB,
            audiences=["orders"],
        )
        print("logged in, orders until", first.access_token("orders").expires_at)
        one, other = await asyncio.gather(
            client.exchange(first.session_token), client.exchange(first.session_token)
        )
        print("one successor:", one.session_token == other.session_token)
        await client.revoke(token=one.session_token)
        try:
            await client.exchange(one.session_token)
        except TokenServiceError as error:
            print("logged out:", error.reason)


if __name__ == "__main__":
    asyncio.run(main())
