"""Gates to Redis as tests need them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis.asyncio import Redis

from tests.support.waiting import PATIENCE
from token_service.adapters.redis.connection import RedisClient, connect
from token_service.adapters.redis.gate import RedisGate
from token_service.adapters.redis.link import RedisLink

Answer = TypeVar("Answer")


class CountingGate(RedisGate):
    """`tried` is how often Redis was asked, answer or not."""

    tried = 0

    async def ask(self, work: Callable[[RedisClient], Awaitable[Answer]]) -> Answer:
        """See `RedisGate.ask`."""

        async def counted(client: RedisClient) -> Answer:
            self.tried += 1
            return await work(client)

        return await super().ask(counted)


def link_to(url: str, *, connections: int = 4, **options: Any) -> RedisLink:
    """A link with few connections, which waits for a busy machine; `options` are the link's."""
    waits = options.setdefault("patience", PATIENCE)
    return RedisLink(
        lambda: connect(url, max_connections=connections, timeout=waits),
        connections=connections,
        **options,
    )


@asynccontextmanager
async def open_link(url: str, **options: Any) -> AsyncIterator[RedisLink]:
    """The same, with its connections made."""
    link = link_to(url, **options)
    try:
        assert await link.opened(PATIENCE, PATIENCE)
        yield link
    finally:
        await link.close()


def server_of(gate: RedisGate) -> Redis:
    """The client of a gate to a single server."""
    assert isinstance(gate.link.client, Redis)
    return gate.link.client
