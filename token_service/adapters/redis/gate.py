"""The one way to Redis: bounded in time, and left alone for a while when it is late."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from token_service.adapters.redis.connection import PREFIX, RedisClient
from token_service.adapters.redis.link import PAUSE, RedisAway, RedisLink
from token_service.domain import deadline

Answer = TypeVar("Answer")

BUDGET = 0.05


class RedisGate:
    """Lets callers use a link, for `budget` seconds (or what the call has left, if that is less).

    After a late answer nobody waits for Redis during `pause` seconds; then one caller tries it,
    and the others go on without until that one has succeeded. A gate that `insists` is for what
    nobody but Redis has: its callers try again while a failure is younger than the budget, and a
    late answer does not keep the next from asking. `monotonic` is the clock, in seconds.
    """

    def __init__(
        self,
        link: RedisLink,
        *,
        budget: float = BUDGET,
        pause: float = PAUSE,
        insists: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.link = link
        self._budget = budget
        self._pause = pause
        self._insists = insists
        self._monotonic = monotonic
        self._late_until: float | None = None
        self._probing = False
        self._errands: set[asyncio.Task[Any]] = set()

    @property
    def away(self) -> bool:
        """Whether Redis failed, or was late, last time it was asked."""
        return self.link.client is None or self._late_until is not None

    def key(self, family: str, tag: str) -> str:
        """Name a key; all keys with the same `tag` lie in one slot of a Cluster."""
        return f"{PREFIX}{family}:{{{tag}}}"

    async def ask(self, work: Callable[[RedisClient], Awaitable[Answer]]) -> Answer:
        """Return the answer of `work`. Raises RedisAway for whatever keeps it from one.

        Work goes on after its caller's time and is not told: what takes long the first time may be
        quick the next.
        """
        probe = self._admit()
        given = deadline.remaining(self._budget)
        ends = time.monotonic() + given
        try:
            while True:
                patience = self._budget if self._insists else 0.0
                if not await self.link.opened(ends - time.monotonic(), patience):
                    raise RedisAway
                try:
                    answer = await self._errand(work, ends, blames=given >= self._budget)
                except RedisAway:
                    if not self._insists or self.link.client is not None:
                        raise
                else:
                    self._late_until = None
                    return answer
        finally:
            if probe:
                self._probing = False

    async def ask_all(self, fill: Callable[[Any], None]) -> Sequence[object]:
        """The answers to the commands that `fill` puts into a pipeline; None where there was an
        error. Raises RedisAway as `ask` does."""

        async def run(client: RedisClient) -> list[object]:
            pipeline: Any = client.pipeline(transaction=False)
            fill(pipeline)
            answers = await pipeline.execute(raise_on_error=False)
            errors = [one for one in answers if isinstance(one, Exception)]
            for error in errors:
                self.link.judge(client, error)
            return [None if isinstance(one, Exception) else one for one in answers]

        return await self.ask(run)

    def _admit(self) -> bool:
        """Return whether this call is the one that tries a late Redis again."""
        if self._late_until is None or self._insists:
            return False
        if self._probing or self._monotonic() < self._late_until:
            raise RedisAway
        self._probing = True
        return True

    async def _errand(
        self, work: Callable[[RedisClient], Awaitable[Answer]], ends: float, *, blames: bool
    ) -> Answer:
        began: list[float] = []
        task = asyncio.create_task(self.link.run(work, lambda: began.append(self._monotonic())))
        self._errands.add(task)
        task.add_done_callback(self._over)
        try:
            await asyncio.wait((task,), timeout=max(0.0, ends - time.monotonic()))
        finally:
            if not began:
                # Others of this process take their turn: no fault of Redis.
                task.cancel()
        if task.done():
            return task.result()
        if began and blames:
            self._timed_out(self._monotonic() - began[0])
        raise RedisAway

    def _over(self, task: asyncio.Task[Any]) -> None:
        self._errands.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits gets it

    def _timed_out(self, took: float) -> None:
        """Blame Redis for a whole budget, but not when this process itself was too busy to look at
        the answer."""
        if took < 2 * self._budget:
            self._late_until = self._monotonic() + self._pause
            self.link.trouble(TimeoutError())
