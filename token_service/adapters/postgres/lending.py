"""Lends the connections of a pool, and waits for one where the server takes no more of them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING

import asyncpg
import structlog

from token_service.adapters.postgres.connect_gate import PAUSE_SECONDS
from token_service.adapters.postgres.failures import BUSY, Failure, cause_of, classify
from token_service.domain.errors import store_unavailable

if TYPE_CHECKING:
    from asyncpg import Record
    from asyncpg.pool import Pool, PoolConnectionProxy

    from token_service.adapters.postgres.outages import Outages

CLEANUP_SECONDS = 1.0
"""How long a connection whose call failed may take to become usable again: by the end of the
statement that nobody waits for, and a rollback."""

_log = structlog.get_logger(__name__)


class Lending:
    """The connections of `pool`. Why one was waited for in vain is told to `outages`."""

    def __init__(self, pool: Pool[Record], outages: Outages) -> None:
        self._pool = pool
        self._outages = outages
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def borrow(self, seconds: float) -> PoolConnectionProxy[Record]:
        """A connection. Raises STORE_UNAVAILABLE when there is none within `seconds`, though the
        server is well, and what the driver raises where it is not."""
        ends_at = time.monotonic() + seconds
        while True:
            try:
                return await self._pool.acquire(timeout=max(0.001, ends_at - time.monotonic()))
            except TimeoutError:
                if self._pool.get_size() == self._pool.get_max_size():
                    # All connections are busy: that is load, and says nothing about the store.
                    self._outages.failed(BUSY)
                    raise store_unavailable() from None
                raise
            except asyncpg.InterfaceError as error:  # the pool is closing
                raise store_unavailable() from error
            except asyncpg.PostgresError as error:
                if not self._is_worth_waiting(error):
                    raise
                self._outages.failed(cause_of(error), error)
                left = ends_at - time.monotonic()
                if left < PAUSE_SECONDS:
                    raise store_unavailable() from error
            await self._given_back(PAUSE_SECONDS)

    async def give_back(self, conn: PoolConnectionProxy[Record]) -> None:
        """Whatever became of it. Waits for a statement that still runs, for a while."""
        try:
            await self._pool.release(conn, timeout=CLEANUP_SECONDS)
        except Exception as error:  # noqa: BLE001 - the call's own outcome is what counts
            _log.info("postgres_connection_dropped", error=type(error).__name__)
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
                break

    def _is_worth_waiting(self, error: asyncpg.PostgresError) -> bool:
        """Whether a refused connection may yet be had: a slot may become free, and those that are
        connected go on whatever is refused to new ones."""
        failure = classify(error)
        if failure is Failure.FULL:
            return True
        return failure is Failure.UNUSABLE and self._pool.get_size() > 0

    async def _given_back(self, within: float) -> None:
        """Until a connection is given back, and no longer than `within` seconds."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(within):
                await waiting
        except TimeoutError:
            return
