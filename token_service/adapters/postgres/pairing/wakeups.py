"""Wakes watchers of pairings: every step is a commit that notifies, on whichever node it was."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterator
from contextvars import Context
from uuid import UUID, uuid4

import structlog

from token_service.adapters.postgres.pairing.sql import CHANNEL
from token_service.adapters.postgres.pool import Database
from token_service.domain.errors import TokenServiceError

POLL = 1.0
"""How often a watcher looks by itself while nothing can be heard, in seconds."""
SPREAD = 1.0
"""In how many seconds all watchers look after the connection was lost and found again."""
CHECK = 0.5
"""How often it is seen to that what is told is heard, and how long that may take, in seconds."""
_CLOSE = 1.0
_ECHO = "echo:"
_SAY = "SELECT pg_notify($1, $2)"

_log = structlog.get_logger(__name__)


class DeafError(Exception):
    """Nothing is heard on a connection that listens: it is another server's, or a pooler's."""


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

    It is believed as long as it hears itself: what it says goes the way of those who write, which
    may lead to another server, or past a session that listens no more. Else watchers look by
    themselves. `jitter` gives numbers from 0 to 1.
    """

    def __init__(self, database: Database, jitter: Callable[[], float] = random.random) -> None:
        self._database = database
        self.jitter = jitter
        self.connected = False
        self._own = f"{_ECHO}{uuid4()}"
        self._echo = asyncio.Event()
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
                self._disbelieve(type(error).__name__)
            await asyncio.sleep(POLL * (0.5 + self.jitter()))

    def _disbelieve(self, error: str) -> None:
        if self.connected:
            _log.warning("pairing_wakeups_lost", error=error)
            self.tell_all(SPREAD)
        self.connected = False

    async def _listen(self) -> None:
        conn = await self._database.connect("pairing")
        lost = asyncio.Event()
        try:
            conn.add_termination_listener(lambda _: lost.set())
            await conn.add_listener(CHANNEL, self._heard)
            while not lost.is_set():
                if not await self._hears_itself():
                    self._disbelieve("store_unavailable")
                elif not self.connected:
                    self.connected = True
                    self.tell_all(SPREAD)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CHECK):
                        await lost.wait()
            raise ConnectionError
        except asyncio.CancelledError:
            with contextlib.suppress(Exception):
                await conn.close(timeout=_CLOSE)
            raise
        finally:
            conn.terminate()

    async def _hears_itself(self) -> bool:
        """False where nothing can be said, for now. Raises DeafError where it is not heard."""
        self._echo.clear()
        try:
            await self._database.fetch(_SAY, CHANNEL, self._own)
        except TokenServiceError:
            return False
        try:
            async with asyncio.timeout(CHECK):
                await self._echo.wait()
        except TimeoutError:
            raise DeafError from None
        return True

    def _heard(self, _: object, __: int, ___: str, payload: object) -> None:
        if payload == self._own:
            self._echo.set()
        with contextlib.suppress(ValueError):
            self.tell(UUID(str(payload)))
