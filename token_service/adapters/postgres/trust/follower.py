"""Follows the trust log: woken by NOTIFY, and reading each second besides."""

from __future__ import annotations

import asyncio
import contextlib
import random
from contextvars import Context
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import structlog

from token_service.adapters.postgres.trust import log as trust
from token_service.domain import deadline
from token_service.domain.audit import Actor, AuditEvent
from token_service.domain.errors import store_unavailable
from tokenservice.core.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import asyncpg
    from asyncpg import Record

    from token_service.adapters.postgres.pool import Database
    from token_service.domain.trust.reading import TrustReading, TrustSink

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""How long after a failure the next attempt is made, in seconds; doubled each time."""

CLOSE_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class TrustFollower:
    """One per process: feeds `sink` with readings over a connection of its own.

    Each reading starts where `sink.state` stands, so what the sink did not take over comes again.
    `poll_interval` and `timeout`, which each statement has, are in seconds; `page` is how many
    entries one reads; `boot` is the clock that also runs during suspend; `jitter` gives numbers
    from 0 to 1.
    """

    def __init__(
        self,
        database: Database,
        sink: TrustSink,
        *,
        poll_interval: float = 1.0,
        timeout: float = 2.0,
        page: int = trust.PAGE,
        boot: Callable[[], float] = boottime,
        jitter: Callable[[], float] = random.random,
        connect: Callable[[], Awaitable[asyncpg.Connection[Record]]] | None = None,
    ) -> None:
        self._sink = sink
        self._poll_interval = poll_interval
        self._timeout = timeout
        self._page = page
        self._boot = boot
        self._jitter = jitter
        self._connect = connect or (lambda: database.connect("trust"))
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._pausing = False
        self._failures = 0
        self._seen = ("", 0)

    def start(self) -> None:
        """Begin to follow, until `stop`."""
        if self._task is not None:
            raise RuntimeError("the follower has been started already")
        self._task = asyncio.create_task(self._run(), name="trust-follower", context=Context())

    async def stop(self) -> None:
        """Stop following and close the connection. Who waits for a reading gets none."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])
        self._fail_waiting()

    def poke(self) -> None:
        """Read soon, do not wait for it."""
        self._wake.set()

    async def refresh(self) -> None:
        """Return after a reading that started after this call was handed on.

        Raises STORE_UNAVAILABLE when there is none in time; at once, while the store is known to
        be out of reach.
        """
        try:
            async with asyncio.timeout(deadline.remaining(self._timeout)):
                await self.reading()
        except TimeoutError:
            raise store_unavailable() from None

    async def reading(self) -> None:
        """Like `refresh`, as long as a reading takes: the first one reads the whole log."""
        if self._task is None or self._pausing:
            raise store_unavailable()
        reading = asyncio.get_running_loop().create_future()
        self._waiting.append(reading)
        self._wake.set()
        await reading

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next try may succeed
                self._failures += 1
                if self._failures == 1:
                    _log.warning("trust_follower_lost", error=type(error).__name__)
                self._pausing = True
                self._fail_waiting()
            await asyncio.sleep(self._pause())
            self._pausing = False

    def _pause(self) -> float:
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * float(1 << min(self._failures, 10)))
        return longest * (0.5 + self._jitter() / 2)

    async def _follow(self) -> None:
        """Read until something fails."""
        async with asyncio.timeout(self._timeout):
            conn = await self._connect()
        try:
            conn.add_termination_listener(lambda _: self._wake.set())
            await conn.add_listener(trust.CHANNEL, lambda *_: self._wake.set())
            while True:
                self._wake.clear()
                await self._read(conn)
                await self._sleep()
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await conn.close(timeout=CLOSE_SECONDS)
            raise
        finally:
            conn.terminate()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(self._poll_interval):
                await self._wake.wait()
        except TimeoutError:
            return

    async def _read(self, conn: asyncpg.Connection[Record]) -> None:
        """One reading, for all who asked before it starts."""
        waiting, self._waiting = self._waiting, []
        try:
            reading = await self._reading(conn)
            await self._sink.apply(reading)
        except BaseException:
            self._waiting += waiting
            raise
        self._seen = (reading.epoch, reading.revision)
        if self._failures:
            _log.info("trust_follower_back", failures=self._failures)
            self._failures = 0
        for asked in waiting:
            if not asked.done():
                asked.set_result(None)

    async def _reading(self, conn: asyncpg.Connection[Record]) -> TrustReading:
        """What comes after the sink's state; from the start where the log is another one."""
        state = self._sink.state
        since = state.revision if state.epoch else 0
        reading = await self._read_since(conn, since)
        epoch, revision = self._seen
        if reading.epoch == epoch and reading.revision < revision:
            await self._fence(conn, revision, reading)
        elif not since or reading.epoch == state.epoch:
            return reading
        return await self._read_since(conn, 0)

    async def _read_since(self, conn: asyncpg.Connection[Record], revision: int) -> TrustReading:
        return await trust.read(
            conn, revision, boot=self._boot, within=self._timeout, page=self._page
        )

    async def _fence(
        self, conn: asyncpg.Connection[Record], revision: int, reading: TrustReading
    ) -> None:
        """The log lost entries that were acknowledged: nothing issued so far is to be trusted."""
        _log.critical("trust_log_restored", epoch=reading.epoch, seen=revision)
        audit = AuditEvent(
            at=datetime.fromtimestamp(reading.db_time, UTC),
            actor=Actor.TRUST_FOLLOWER,
            action="trust.fence",
            outcome="ok",
            target=reading.epoch,
            details=f"the log is behind revision {revision}, which was seen: restored database",
        )
        async with conn.transaction():
            await trust.fence(
                conn, min_revision=revision, audit=audit, only_epoch=UUID(reading.epoch)
            )

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            if not asked.done():
                asked.set_exception(store_unavailable())
