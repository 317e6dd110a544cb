"""A gate to Redis that counts what it lets through."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from token_service.adapters.redis.connection import RedisClient
from token_service.adapters.redis.gate import RedisGate

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
