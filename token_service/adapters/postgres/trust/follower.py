"""Follows the trust log: woken by NOTIFY, and reading each second besides.

Each reading is judged before it is taken over: a server that succeeded the last one gets a new
epoch first.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from contextvars import Context
from typing import TYPE_CHECKING

import structlog

from token_service.adapters.postgres.failures import cause_of
from token_service.adapters.postgres.trust import log as trust
from token_service.adapters.postgres.trust.beat import TrustBeat
from token_service.adapters.postgres.trust.succession_watch import GRACE, SuccessionWatch
from token_service.domain import deadline
from token_service.domain.errors import store_unavailable
from tokenservice.core.clock import boottime

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    import asyncpg
    from asyncpg import Record

    from token_service.adapters.postgres.pool import Database
    from token_service.domain.trust.reading import TrustSink

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 1.0
"""How long after a failure the next attempt is made, in seconds; doubled each time."""

CLOSE_SECONDS = 1.0

BEATS = 2
"""To a poll: the view is then never older than one poll and a half."""

PATIENCE = 0.25
"""How long a reading waits for the beat before it, as a part of a poll: it may hang."""

_log = structlog.get_logger(__name__)


class TrustFollower:
    """One per process: feeds `sink` with readings over a connection of its own.

    Each reading starts where `sink.state` stands, so what the sink did not take over comes again.
    `poll_interval` and `timeout`, which each statement has, are in seconds; `page` is how many
    entries one reads; `boot` is the clock that also runs during suspend; `jitter` gives numbers
    from 0 to 1; `grace` is how long a server that succeeded another is left to other nodes.
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
        grace: float = GRACE,
    ) -> None:
        self._sink = sink
        self._poll_interval = poll_interval
        self._timeout = timeout
        self._boot = boot
        self._jitter = jitter
        self._watch = SuccessionWatch(sink, timeout=timeout, page=page, boot=boot, grace=grace)
        self._doubt_primary = database.doubt_primary
        self._connect = connect or (lambda: database.connect("trust"))
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._task: asyncio.Task[None] | None = None
        self._pausing = False
        self._failures = 0
        self._beat = TrustBeat(
            lambda: database.connect("beat"),
            interval=poll_interval / BEATS,
            timeout=timeout,
            boot=boot,
            beaten=self._wake.set,
        )

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
        await self._beat.stop()
        self._fail_waiting()

    @property
    def late_beat(self) -> bool:
        """Whether no commit has shown for a while that the primary still is one."""
        return self._beat.late

    @property
    def unknown_server(self) -> bool:
        """Whether the server does not tell its system identifier or timeline."""
        return self._watch.unknown_server

    @property
    def epochs_begun(self) -> Mapping[str, int]:
        """How many epochs of the log this process has begun: `succeeded` and `fenced`."""
        return self._watch.begun

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
                if self._beat.age() > self._poll_interval * (1 + 1 / BEATS):
                    await self._beat.attempt(self._poll_interval * PATIENCE)
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
                    _log.warning(
                        "trust_follower_lost",
                        cause=str(cause_of(error)),
                        error=type(error).__name__,
                    )
                self._pausing = True
                self._fail_waiting()
            await asyncio.sleep(self._pause())
            self._pausing = False

    def _pause(self) -> float:
        longest = min(LONGEST_PAUSE, FIRST_PAUSE * float(1 << min(self._failures, 10)))
        return longest * (0.5 + self._jitter() / 2)

    async def _follow(self) -> None:
        """Read until something fails, or no beat gets through."""
        async with asyncio.timeout(self._timeout):
            conn = await self._connect()
        try:
            conn.add_termination_listener(lambda _: self._wake.set())
            await conn.add_listener(trust.CHANNEL, lambda *_: self._wake.set())
            await self._beat.attempt(self._poll_interval * PATIENCE)
            leave_at = self._boot() + self._timeout + self._poll_interval
            while self._boot() < leave_at or self._beat.age() < self._timeout + self._poll_interval:
                self._wake.clear()
                await self._read(conn)
                await self._sleep()
            # A primary that cannot commit may have been succeeded: is there another one?
            self._doubt_primary()
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await conn.close(timeout=CLOSE_SECONDS)
            raise
        finally:
            conn.terminate()

    async def _sleep(self) -> None:
        """Until something happens, or the next reading is due and has had its beat."""
        woken = await self._is_woken(self._poll_interval)
        if self._beat.begin() and not woken:
            await self._is_woken(self._poll_interval * PATIENCE)

    async def _is_woken(self, within: float) -> bool:
        try:
            async with asyncio.timeout(within):
                return await self._wake.wait()
        except TimeoutError:
            return False

    async def _read(self, conn: asyncpg.Connection[Record]) -> None:
        """One reading, for all who asked before it starts."""
        waiting, self._waiting = self._waiting, []
        try:
            reading = await self._watch.read(conn)
            self._beat.saw(reading.beaten_boot)
            await self._sink.apply(reading)
        except BaseException:
            self._waiting += waiting
            raise
        self._watch.remember(reading)
        if self._failures:
            _log.info("trust_follower_back", failures=self._failures)
            self._failures = 0
        for asked in waiting:
            if not asked.done():
                asked.set_result(None)

    def _fail_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for asked in waiting:
            if not asked.done():
                asked.set_exception(store_unavailable())
