"""The one way to Redis: bounded in time, and left alone for a while after a failure."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from token_service.adapters.redis import connection
from token_service.adapters.redis.connection import RedisClient
from token_service.domain import deadline

Answer = TypeVar("Answer")

BUDGET = 0.05
PAUSE = 1.0
_COMPLAIN_EVERY = 60.0

_log = structlog.get_logger(__name__)


class RedisAway(Exception):  # noqa: N818 - an ordinary condition that every caller handles
    """Redis gave no answer in time, refused, or is being left alone after a failure."""


class RedisGate:
    """Runs commands within `budget` seconds (or what the call has left, when that is less).

    After a failure no one waits for Redis during `pause` seconds; then one caller tries it, and
    the others go on without until that one has succeeded. `monotonic` is the clock, in seconds.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        prefix: str = "token-service:",
        budget: float = BUDGET,
        pause: float = PAUSE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self._prefix = prefix
        self._budget = budget
        self._pause = pause
        self._monotonic = monotonic
        self._away_until: float | None = None
        self._probing = False
        self._complain_at = -_COMPLAIN_EVERY

    @property
    def away(self) -> bool:
        """Whether Redis failed last time it was asked."""
        return self._away_until is not None

    def key(self, family: str, tag: str) -> str:
        """Name a key; all keys with the same `tag` lie in one slot of a Cluster."""
        return f"{self._prefix}{family}:{{{tag}}}"

    async def ask(self, work: Callable[[RedisClient], Awaitable[Answer]]) -> Answer:
        """Return the answer of `work`. Raises RedisAway for whatever keeps it from one."""
        probe = self._admit()
        given = deadline.remaining(self._budget)
        began = self._monotonic()
        try:
            async with asyncio.timeout(given):
                answer = await work(self.client)
        except (TimeoutError, RedisTimeoutError) as error:
            self._timed_out(given, self._monotonic() - began)
            raise RedisAway from error
        except Exception as error:
            # Of any class: the library raises more than its RedisError says, and Redis is not
            # worth a failed call.
            await self._failed(error)
            raise RedisAway from error
        else:
            if probe:
                self._recovered()
            return answer
        finally:
            if probe:
                self._probing = False

    async def close(self) -> None:
        """Close all connections."""
        await connection.close(self.client)

    def _admit(self) -> bool:
        """Return whether this call is the one that tries a failed Redis again."""
        if self._away_until is None:
            return False
        if self._probing or self._monotonic() < self._away_until:
            raise RedisAway
        self._probing = True
        return True

    def _timed_out(self, given: float, took: float) -> None:
        """Blame Redis only for a whole budget.

        Not when the caller was in a hurry, and not when this process itself was too busy to look
        at the answer.
        """
        if given >= self._budget and took < 2 * self._budget:
            self._leave_alone("timeout")

    async def _failed(self, error: Exception) -> None:
        if isinstance(error, ReadOnlyError):
            # A primary that was demoted under our connections: resolve its name again.
            if isinstance(self.client, Redis):
                await self.client.connection_pool.disconnect(inuse_connections=False)
        elif isinstance(error, ResponseError):
            # Redis is well; it is this command, or the value that it met, that is not.
            self._complain(error)
            return
        self._leave_alone(type(error).__name__)

    def _leave_alone(self, cause: str) -> None:
        if self._away_until is None:
            _log.warning("redis_away", error=cause)
        self._away_until = self._monotonic() + self._pause

    def _recovered(self) -> None:
        self._away_until = None
        _log.info("redis_back")

    def _complain(self, error: ResponseError) -> None:
        now = self._monotonic()
        if now >= self._complain_at:
            self._complain_at = now + _COMPLAIN_EVERY
            # The class alone: a message may quote keys or arguments.
            _log.warning("redis_refuses_command", error=type(error).__name__)
