"""Waking many who wait for the same thing, without a timer or a queue for each."""

import asyncio
from collections.abc import Sequence

SLOTS = 20
"""The beats are spread over so many moments, so that not all who wait wake at the same one."""

AT_ONCE = 64
"""So many are woken before the loop looks after other things again."""


class Sleeper:
    """One who waits. Wakes are not counted: it looks for itself at what has happened.

    `due` says that a beat has come; the sleeper takes it back when it has shown a sign of life.
    """

    __slots__ = ("_awake", "_waiter", "due")

    def __init__(self) -> None:
        self.due = False
        self._awake = False
        self._waiter: asyncio.Future[None] | None = None

    def wake(self) -> None:
        """End the wait, or the next one if there is none now."""
        self._awake = True
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def wait(self) -> None:
        """Return once woken since the last time."""
        if not self._awake:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._awake = False


class Wakeups:
    """Wakes all sleepers when told to, and each of them every `interval` seconds besides."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._slots: tuple[dict[Sleeper, None], ...] = tuple({} for _ in range(SLOTS))
        self._turn = 0
        self._next = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def join(self) -> Sleeper:
        """A new sleeper, which has to `leave`."""
        sleeper = Sleeper()
        min(self._slots, key=len)[sleeper] = None
        if self._timer is None:
            self._next = asyncio.get_running_loop().time()
            self._schedule()
        return sleeper

    def leave(self, sleeper: Sleeper) -> None:
        """Wake it no more."""
        for slot in self._slots:
            slot.pop(sleeper, None)

    def wake(self) -> None:
        """Wake all."""
        self._wake([sleeper for slot in self._slots for sleeper in slot])

    def _wake(self, sleepers: Sequence[Sleeper]) -> None:
        for sleeper in sleepers[:AT_ONCE]:
            sleeper.wake()
        if len(sleepers) > AT_ONCE:
            asyncio.get_running_loop().call_soon(self._wake, sleepers[AT_ONCE:])

    def beat(self) -> None:
        """Wake the next part of the sleepers, for whom it is time."""
        self._turn = (self._turn + 1) % SLOTS
        sleepers = list(self._slots[self._turn])
        for sleeper in sleepers:
            sleeper.due = True
        self._wake(sleepers)

    def _tick(self) -> None:
        self._timer = None
        self.beat()
        if any(self._slots):
            self._schedule()

    def _schedule(self) -> None:
        """The next beat at its own moment, however late this one was; after a pause of the whole
        process not all that were missed are made up for."""
        loop = asyncio.get_running_loop()
        self._next = max(self._next + self._interval / SLOTS, loop.time() - self._interval)
        self._timer = loop.call_at(self._next, self._tick)
