"""Access to PostgreSQL: every call bounded in time, every failure of the store told as such.

A write whose connection is lost has an unknown outcome: it is reported as STORE_UNAVAILABLE, and
never sent again from here.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import asyncpg
import structlog
from asyncpg import Record

from token_service.adapters.postgres.circuit import Circuit
from token_service.adapters.postgres.connect_gate import ConnectGate
from token_service.adapters.postgres.connecting import Connector, Source
from token_service.adapters.postgres.driver_connection import drop, is_gone, require_confirmed
from token_service.adapters.postgres.failures import (
    ENDED,
    Cause,
    Failure,
    cause_of,
    classify,
    retry_deadlock,
)
from token_service.adapters.postgres.fencing import Fencing, LogMovedError
from token_service.adapters.postgres.lending import CLEANUP_SECONDS, Lending
from token_service.adapters.postgres.outages import Outages
from token_service.adapters.postgres.replication import WAITING_RECORD
from token_service.domain import deadline, durability
from token_service.domain.errors import store_unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from asyncpg.pool import Pool, PoolConnectionProxy

    from token_service.adapters.postgres.dsn import Dsn

__all__ = ["Connection", "Database", "retry_deadlock"]

Connection: TypeAlias = "asyncpg.Connection[Record] | PoolConnectionProxy[Record]"

TELLING_SECONDS = 0.5
"""A call without an answer for this long says that the store hangs, whatever its deadline."""

_COMMIT = f"SELECT {WAITING_RECORD}; COMMIT"
"""Also of a transaction that found nothing to change: what it found shall outlive a failover."""

LOOKING_SECONDS = 5.0
"""Connections to a server that is read-only are replaced no more often: it may have been a primary
until then, and may be one that an operator wants so."""

_log = structlog.get_logger(__name__)


class Database:
    """A pool of connections to the primary.

    `timeout` (seconds) bounds each call, less when the current RPC's deadline is nearer.
    """

    def __init__(
        self,
        pool: Pool[Record],
        connector: Connector,
        direct: Connector,
        *,
        timeout: float,
        clock: Callable[[], float],
    ) -> None:
        self._pool = pool
        self._connector = connector
        self._direct = direct
        self._timeout = timeout
        self._clock = clock
        self._circuit = Circuit(clock)
        self._outages = Outages(clock)
        self.commits: Callable[[], bool] = lambda: True
        """Whether commits get through, as far as is known. Before that no outage is over."""
        self._lending = Lending(pool, self._outages)
        self._next_look = clock()
        self.fencing = Fencing()
        """Which log this node follows, for the statements that must not go to another one."""
        connector.accept = self.fencing.require_unsucceeded
        self._cleaning: set[asyncio.Task[None]] = set()
        # What waits for the trust head leaves connections to what does not.
        self._transactions = asyncio.Semaphore(max(1, pool.get_max_size() // 2))

    @classmethod
    async def open(
        cls,
        dsn: str | Source,
        *,
        direct: Source | None = None,
        size: int = 10,
        call_timeout: float = 2.0,
        application_name: str = "token-service",
        clock: Callable[[], float] = time.monotonic,
    ) -> Self:
        """Connect; `call_timeout` is in seconds. `direct` is where `connect` leads to, by default
        the same address.

        Raises DsnError, and STORE_UNAVAILABLE when the server cannot be reached or refuses the
        user, the password or the database: `failures.cause_of` says what it is.
        """
        connector = Connector(dsn, timeout=call_timeout, name=application_name)
        straight = connector
        if direct is not None and direct != connector.source:
            straight = Connector(direct, timeout=call_timeout, name=application_name)
        try:
            pool = await connector.open_pool(size, ConnectGate(clock))
        except Exception as error:
            if classify(error) is Failure.OURS and not isinstance(error, asyncpg.PostgresError):
                raise
            raise store_unavailable() from error
        return cls(pool, connector, straight, timeout=call_timeout, clock=clock)

    @property
    def call_timeout(self) -> float:
        """The most that one call or transaction may take, in seconds."""
        return self._timeout

    @property
    def address(self) -> Dsn:
        """The address of the primary alone, for programs that know of one server."""
        return self._connector.address

    async def close(self) -> None:
        """Wait a moment for calls in flight, then close every connection."""
        try:
            async with asyncio.timeout(self._timeout + CLEANUP_SECONDS):
                await asyncio.gather(*self._cleaning)
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
        finally:
            self._connector.close()

    async def connect(self, purpose: str) -> asyncpg.Connection[Record]:
        """A connection of one's own, outside the pool and past a pooler, in which sessions last.
        Raises what asyncpg raises."""
        return await self._direct.connect(purpose)

    def tell(self, cause: Cause) -> None:
        """A call failed of what no statement fails of, such as a row that stays locked."""
        self._outages.failed(cause)

    async def fetchrow(self, sql: str, *args: object) -> Record | None:
        """The first row, or None. One round trip."""
        row: Record | None = await self._call(
            lambda conn, left: conn.fetchrow(sql, *args, timeout=left)
        )
        return row

    async def fetch(self, sql: str, *args: object) -> list[Record]:
        """All rows. One round trip."""
        rows: list[Record] = await self._call(
            lambda conn, left: conn.fetch(sql, *args, timeout=left)
        )
        return rows

    async def execute(self, sql: str, *args: object) -> str:
        """Run a statement; its command tag, such as `UPDATE 3`."""
        tag: str = await self._call(lambda conn, left: conn.execute(sql, *args, timeout=left))
        return tag

    async def change(self, sql: str, *args: object) -> Record | None:
        """Like `fetchrow`, for what may wait for the trust head: it takes a transaction's place."""
        try:
            async with asyncio.timeout(deadline.remaining(self._timeout)):
                await self._transactions.acquire()
        except TimeoutError:
            raise store_unavailable() from None
        try:
            return await self.fetchrow(sql, *args)
        finally:
            self._transactions.release()

    @asynccontextmanager
    async def transaction(self, first: str = "") -> AsyncIterator[Connection]:
        """A READ COMMITTED transaction, committed at the end of the block.

        A statement that has no parameters and answers nothing may come `first`, with the beginning.
        The commit waits for the standby even when nothing was changed, so whatever the block was
        told outlives a failover. Block and commit share one time limit. A deadlock is raised as
        it is: wrap the whole transaction in `retry_deadlock`. The block must not catch database
        errors and go on, nor open transactions of its own on the connection.
        """
        budget = self._budget()
        conn: PoolConnectionProxy[Record] | None = None
        try:
            async with asyncio.timeout(budget), self._transactions:
                conn = await self._lending.borrow(budget)
                await conn.execute(f"{self._connector.begin}; {first}")
                yield conn
                await conn.execute(_COMMIT)
                require_confirmed(conn)
        except BaseException as error:
            if isinstance(error, LogMovedError):
                error.renew = self.fencing.renew
            await self._raise_judged(conn, error, budget, in_transaction=True)
            raise
        durability.note_commit()
        self._succeeded()
        await self._lending.give_back(conn)

    async def _call(
        self, send: Callable[[PoolConnectionProxy[Record], float], Coroutine[Any, Any, Any]]
    ) -> Any:  # noqa: ANN401 - what the driver returns
        budget = self._budget()
        ends_at = time.monotonic() + budget
        conn: PoolConnectionProxy[Record] | None = None
        try:
            conn = await self._lending.borrow(budget)
            result = await send(conn, max(0.001, ends_at - time.monotonic()))
            require_confirmed(conn)
        except BaseException as error:
            await self._raise_judged(conn, error, budget, in_transaction=False)
            raise
        durability.note_read()
        self._succeeded()
        await self._lending.give_back(conn)
        return result

    def _budget(self) -> float:
        budget = deadline.remaining(self._timeout)
        if budget <= 0 or not self._circuit.allow():
            raise store_unavailable()
        return budget

    def _succeeded(self) -> None:
        self._circuit.succeeded()
        if self._outages.any and self.commits():
            self._outages.succeeded()

    async def _raise_judged(
        self,
        conn: PoolConnectionProxy[Record] | None,
        error: BaseException,
        budget: float,
        *,
        in_transaction: bool,
    ) -> None:
        """Return the connection, note the failure, and raise STORE_UNAVAILABLE if that is what
        `error` means."""
        failure = classify(error, closed=is_gone(conn))
        # A call that was given little time proves nothing when it runs out of it.
        soon = failure is Failure.TIMED_OUT and budget < min(self._timeout, TELLING_SECONDS)
        if conn is not None:
            if failure is Failure.TIMED_OUT and not soon:
                drop(conn)  # what it was asked may yet happen
            await self._clean_up(conn, error, in_transaction=in_transaction)
        if failure is Failure.OURS:
            if isinstance(error, asyncpg.PostgresError):
                self._circuit.succeeded()
            return
        if not soon:
            self._outages.failed(cause_of(error), error)
            # That a connection ended says nothing: the next attempt to connect tells whether the
            # server is there.
            away = failure is Failure.LOST and conn is None and not isinstance(error, ENDED)
            self._note(failure, away=away)
        raise store_unavailable() from error

    def _note(self, failure: Failure, *, away: bool) -> None:
        """What a failure says of the store as a whole."""
        if away or failure is Failure.TIMED_OUT:
            if self._circuit.failed():
                _log.info("postgres_circuit_opened")
                # Whatever the connections led to is gone or stuck: probes shall make new ones.
                self.expire_connections()
        elif failure is Failure.READ_ONLY and self._clock() >= self._next_look:
            self._next_look = self._clock() + LOOKING_SECONDS
            self.expire_connections()

    def doubt_primary(self) -> None:
        """See `Connector.doubt_primary`. Connections that stand are left as they are."""
        self._connector.doubt_primary()
        self._direct.doubt_primary()

    def expire_connections(self) -> None:
        """Replace all connections, each after the call that uses it: they may lead to a server
        that was succeeded."""
        self._connector.forget_made()
        _ = self._in_background(self._pool.expire_connections())

    async def _clean_up(
        self, conn: PoolConnectionProxy[Record], error: BaseException, *, in_transaction: bool
    ) -> None:
        """Return the connection of a call that failed. Waits for a rollback, but not after a
        timeout or cancellation, when the server may not answer and the caller has no time left."""
        task = self._in_background(self._clean(conn, roll_back=in_transaction))
        if isinstance(error, Exception) and not isinstance(error, TimeoutError):
            await asyncio.shield(task)

    async def _clean(self, conn: PoolConnectionProxy[Record], *, roll_back: bool) -> None:
        try:
            if roll_back and not is_gone(conn):
                await conn.execute("ROLLBACK", timeout=CLEANUP_SECONDS)
        except Exception:  # noqa: BLE001 - whatever it was, the connection is not to be used again
            drop(conn)
        await self._lending.give_back(conn)  # a lost one too: only then may the pool replace it

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)
        return task
