"""Waking many who wait for the same thing, without a timer or a queue for each."""

import asyncio
from collections.abc import Sequence
from math import inf

SLOTS = 20
"""The beats are spread over so many moments, so that not all who wait wake at the same one."""

AT_ONCE = 64
"""So many are woken before the loop looks after other things again."""


GAP = 0.02
"""Between two wakes of all, in seconds: what happens meanwhile, they see together."""


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
    """Wakes all sleepers when told to, and each of them every `interval` seconds besides.

    `gap` is in seconds, too: all are woken no sooner than that after the last time.
    """

    def __init__(self, interval: float, gap: float = GAP) -> None:
        self._interval = interval
        self._gap = gap
        self._slots: tuple[dict[Sleeper, None], ...] = tuple({} for _ in range(SLOTS))
        self._turn = 0
        self._next = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._quiet_until = -inf
        self._held_back: asyncio.TimerHandle | None = None

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
        """Wake all, at once or when the gap is over. A hundred who are told of each of a thousand
        events leave no time for the events."""
        if self._held_back is not None or not any(self._slots):
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._quiet_until:
            self._held_back = loop.call_at(self._quiet_until, self._wake_all)
        else:
            self._wake_all()

    def _wake_all(self) -> None:
        self._held_back = None
        self._quiet_until = asyncio.get_running_loop().time() + self._gap
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
