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
from token_service.adapters.postgres.connecting import Connector, Source
from token_service.adapters.postgres.failures import Failure, classify, retry_deadlock
from token_service.adapters.postgres.fencing import Fencing, LogMovedError
from token_service.domain import deadline, durability
from token_service.domain.errors import store_unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from asyncpg.pool import Pool, PoolConnectionProxy

    from token_service.adapters.postgres.dsn import Dsn

__all__ = ["Connection", "Database", "retry_deadlock"]

Connection: TypeAlias = "asyncpg.Connection[Record] | PoolConnectionProxy[Record]"

CLEANUP_SECONDS = 2.0
"""How long a connection whose call failed may take to become usable again."""

TELLING_SECONDS = 0.5
"""A call without an answer for this long says that the store hangs, whatever its deadline."""

# A transaction that found nothing to change waits for the standby like any other, and so for what
# it found: without a record of its own its commit would come back at once.
_COMMIT = "SELECT pg_logical_emit_message(true, 'token-service', ''); COMMIT"

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
        circuit: Circuit,
    ) -> None:
        self._pool = pool
        self._connector = connector
        self._direct = direct
        self._timeout = timeout
        self._circuit = circuit
        self.fencing = Fencing()
        """Which log this node follows, for the statements that must not go to another one."""
        self._cleaning: set[asyncio.Task[None]] = set()
        # Transactions wait for locks, of the trust head above all. Statements do not, and always
        # find a connection.
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

        Raises DsnError, STORE_UNAVAILABLE when the server cannot be reached, and asyncpg's error as
        it is when it refuses the user, the password or the database.
        """
        connector = Connector(dsn, timeout=call_timeout, name=application_name)
        straight = connector
        if direct is not None:
            straight = Connector(direct, timeout=call_timeout, name=application_name)
        pool = connector.pool(size)
        try:
            async with asyncio.timeout(call_timeout):
                _ = await pool
        except Exception as error:
            pool.terminate()
            if classify(error) is Failure.OURS:
                raise
            raise store_unavailable() from error
        return cls(pool, connector, straight, timeout=call_timeout, circuit=Circuit(clock))

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

    async def connect(self, purpose: str) -> asyncpg.Connection[Record]:
        """A connection of one's own, outside the pool and past a pooler, in which sessions last.
        Raises what asyncpg raises."""
        return await self._direct.connect(purpose)

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

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A READ COMMITTED transaction, committed at the end of the block.

        The commit waits for the standby even when nothing was changed, so whatever the block was
        told outlives a failover. Block and commit share one time limit. A deadlock is raised as
        it is: wrap the whole transaction in `retry_deadlock`. The block must not catch database
        errors and go on, nor open transactions of its own on the connection.
        """
        budget = self._budget()
        conn: PoolConnectionProxy[Record] | None = None
        try:
            async with asyncio.timeout(budget), self._transactions:
                conn = await self._acquire(budget)
                await conn.execute(self._connector.begin)
                yield conn
                await conn.execute(_COMMIT)
        except BaseException as error:
            gone = _is_gone(conn)
            await self._after_failure(conn, error, in_transaction=True)
            if isinstance(error, LogMovedError):
                error.renew = self.fencing.renew
            self._raise_judged(error, gone, budget)
            raise
        durability.note_commit()
        self._circuit.succeeded()
        await self._give_back(conn)

    async def _call(
        self, send: Callable[[PoolConnectionProxy[Record], float], Coroutine[Any, Any, Any]]
    ) -> Any:  # noqa: ANN401 - what the driver returns
        budget = self._budget()
        ends_at = time.monotonic() + budget
        conn: PoolConnectionProxy[Record] | None = None
        try:
            conn = await self._acquire(budget)
            result = await send(conn, max(0.001, ends_at - time.monotonic()))
        except BaseException as error:
            gone = _is_gone(conn)
            await self._after_failure(conn, error, in_transaction=False)
            self._raise_judged(error, gone, budget)
            raise
        durability.note_read()
        self._circuit.succeeded()
        await self._give_back(conn)
        return result

    def _budget(self) -> float:
        budget = deadline.remaining(self._timeout)
        if budget <= 0 or not self._circuit.allow():
            raise store_unavailable()
        return budget

    async def _acquire(self, budget: float) -> PoolConnectionProxy[Record]:
        try:
            return await self._pool.acquire(timeout=budget)
        except TimeoutError:
            if self._pool.get_size() == self._pool.get_max_size():
                # All connections are busy: that is load, and says nothing about the store.
                raise store_unavailable() from None
            raise
        except asyncpg.InterfaceError as error:  # the pool is closing
            raise store_unavailable() from error

    def _raise_judged(self, error: BaseException, gone: bool, budget: float) -> None:
        """Count the failure, and raise STORE_UNAVAILABLE if that is what `error` means."""
        failure = classify(error, closed=gone)
        if failure is Failure.OURS:
            if isinstance(error, asyncpg.PostgresError):
                self._circuit.succeeded()
            return
        # A call that was given little time proves nothing when it runs out of it.
        hung = failure is Failure.TIMED_OUT and budget >= min(self._timeout, TELLING_SECONDS)
        if failure is Failure.LOST or hung:
            self._count_failure(error)
        raise store_unavailable() from error

    def _count_failure(self, error: BaseException) -> None:
        if self._circuit.failed():
            _log.warning("postgres_circuit_opened", error=type(error).__name__)
            # Whatever the connections led to is gone or stuck: probes shall make new ones.
            self.expire_connections()
        elif isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            self.expire_connections()

    def expire_connections(self) -> None:
        """Replace all connections, each after the call that uses it: they may lead to a server
        that was succeeded."""
        _ = self._in_background(self._pool.expire_connections())

    async def _after_failure(
        self,
        conn: PoolConnectionProxy[Record] | None,
        error: BaseException,
        *,
        in_transaction: bool,
    ) -> None:
        """Return the connection. Waits for a rollback, but not after a timeout or cancellation,
        when the server may not answer and the caller has no time left."""
        if conn is None:
            return
        task = self._in_background(self._clean(conn, roll_back=in_transaction))
        if isinstance(error, Exception) and not isinstance(error, TimeoutError):
            await asyncio.shield(task)

    async def _clean(self, conn: PoolConnectionProxy[Record], *, roll_back: bool) -> None:
        try:
            if roll_back and not _is_gone(conn):
                await conn.execute("ROLLBACK", timeout=CLEANUP_SECONDS)
        except Exception:  # noqa: BLE001 - whatever it was, the connection is not to be used again
            if not _is_gone(conn):
                conn.terminate()
        await self._give_back(conn)  # a lost one too: only then may the pool replace it

    async def _give_back(self, conn: PoolConnectionProxy[Record]) -> None:
        try:
            await self._pool.release(conn, timeout=CLEANUP_SECONDS)
        except Exception as error:  # noqa: BLE001 - the call's own outcome is what counts
            _log.info("postgres_connection_dropped", error=type(error).__name__)

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)
        return task


def _is_gone(conn: PoolConnectionProxy[Record] | None) -> bool:
    """Whether the connection was made and is lost; its pool may have let go of it already."""
    if conn is None:
        return False
    try:
        return conn.is_closed()
    except asyncpg.InterfaceError:
        return True
