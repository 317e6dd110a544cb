"""Wakes watchers of pairings: every step is a commit that notifies, on whichever node it was."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from contextvars import Context
from uuid import UUID

import structlog

from token_service.adapters.postgres.pairing.sql import CHANNEL
from token_service.adapters.postgres.pool import Database

POLL = 1.0
"""How often a watcher looks by itself while nothing can be heard, in seconds."""
SPREAD = 1.0
"""In how many seconds all watchers look after the connection was lost and found again."""
_CHECK = 5.0
_CLOSE = 1.0

_log = structlog.get_logger(__name__)


class _Watcher:
    """Implements `ports.PairingWatcher`."""

    __slots__ = ("_heard", "_hub")

    def __init__(self, hub: "PairingWakeups") -> None:
        self._hub = hub
        self._heard = asyncio.Event()

    def tell(self) -> None:
        self._heard.set()

    async def wait(self, within: float) -> None:
        """Return when told, or when it is time to look."""
        if not self._hub.connected:
            within = min(within, POLL * (0.5 + self._hub.jitter()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, within)):
                await self._heard.wait()
        self._heard.clear()


class PairingWakeups:
    """Implements `ports.PairingWakeups` by LISTEN, on a connection of its own.

    While that is lost, watchers look by themselves. `jitter` gives numbers from 0 to 1.
    """

    def __init__(self, database: Database, jitter: Callable[[], float] = random.random) -> None:
        self._database = database
        self.jitter = jitter
        self.connected = False
        self._watchers: dict[UUID, set[_Watcher]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen, until `stop`."""
        self._task = asyncio.create_task(self._run(), name="pairing-wakeups", context=Context())

    async def stop(self) -> None:
        """Stop listening and close the connection."""
        if self._task is not None:
            task, self._task = self._task, None
            task.cancel()
            await asyncio.wait([task])

    @contextlib.contextmanager
    def watch(self, pairing_id: UUID) -> Iterator[_Watcher]:
        """What happens to the pairing within the block is told."""
        watcher = _Watcher(self)
        self._watchers.setdefault(pairing_id, set()).add(watcher)
        try:
            yield watcher
        finally:
            others = self._watchers[pairing_id]
            others.discard(watcher)
            if not others:
                del self._watchers[pairing_id]

    def tell(self, pairing_id: UUID) -> None:
        """The pairing moved."""
        for watcher in self._watchers.get(pairing_id, ()):
            watcher.tell()

    def tell_all(self, spread: float = 0.0) -> None:
        """Anything may have moved; the watchers look within `spread` seconds."""
        loop = asyncio.get_running_loop()
        for watchers in self._watchers.values():
            for watcher in watchers:
                loop.call_later(spread * self.jitter(), watcher.tell)

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next try may succeed
                if self.connected:
                    _log.warning("pairing_wakeups_lost", error=type(error).__name__)
                    self.tell_all(SPREAD)
                self.connected = False
            await asyncio.sleep(POLL * (0.5 + self.jitter()))

    async def _listen(self) -> None:
        conn = await self._database.connect("pairing")
        lost = asyncio.Event()
        try:
            conn.add_termination_listener(lambda _: lost.set())
            await conn.add_listener(CHANNEL, self._heard)
            self.connected = True
            self.tell_all(SPREAD)
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CHECK):
                        await lost.wait()
                await conn.execute("SELECT")  # raises on a connection that is dead
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await conn.close(timeout=_CLOSE)
            raise
        finally:
            conn.terminate()

    def _heard(self, _: object, __: int, ___: str, payload: object) -> None:
        with contextlib.suppress(ValueError):
            self.tell(UUID(str(payload)))
