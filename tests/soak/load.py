"""Keeps everything going that a day consists of, each kind at its rate."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from tests.soak.abuse import Abuse, Watchers
from tests.soak.context import Context
from tests.soak.day import KINDS, Rates
from tests.soak.others import Administration, Codes, Pairings
from tests.soak.sessions import Sessions
from tests.soak.tally import GaveUpError

MOST_CALLS = 300
"""In flight at a time, with which nothing new is begun: this is no test of overload. A machine that
is slower than the load gets less of it, and the tally shows it."""
MOST_BEHIND = 10.0
"""Seconds of delay that are made up for."""

Work = Callable[[], Awaitable[None]]


class Load:
    """One stretch of load."""

    def __init__(self, context: Context) -> None:
        self._context = context
        sessions = Sessions(context)
        codes, pairings = Codes(context), Pairings(context, sessions)
        watchers, abuse = Watchers(context), Abuse(context)
        self.administration = Administration(context, sessions)
        self._sessions = sessions
        parts = (sessions, codes, pairings, watchers, abuse, self.administration)
        self._works: dict[str, Work] = {
            kind: next(getattr(part, kind) for part in parts if hasattr(part, kind))
            for kind in KINDS
        }

    async def run(self, seconds: float, rates: Rates) -> None:
        """Begin things for so many seconds; return when the last has ended."""
        async with asyncio.TaskGroup() as group:
            for name, work in self._works.items():
                if not getattr(rates, name):
                    continue
                group.create_task(self._keep_going(name, work, getattr(rates, name), seconds))
            group.create_task(self._every_second(seconds))

    async def _keep_going(self, name: str, work: Work, rate: float, seconds: float) -> None:
        loop, running = asyncio.get_running_loop(), set[asyncio.Task[None]]()
        start = loop.time()
        due = start + random.uniform(0, 1 / rate)
        while due < start + seconds:
            await asyncio.sleep(due - loop.time())
            while self._context.tally.in_flight > MOST_CALLS:
                await asyncio.sleep(0.01)
            task = asyncio.create_task(self._one(name, work))
            running.add(task)
            task.add_done_callback(running.discard)
            due = max(due + 1 / rate, loop.time() - MOST_BEHIND)
        if running:
            await asyncio.wait(running)

    async def _one(self, name: str, work: Work) -> None:
        tally = self._context.tally
        tally.begun[name] += 1
        try:
            await work()
        except GaveUpError:
            return  # counted
        except Exception as error:  # noqa: BLE001 - whatever it was, it was not to be
            tally.note(name, f"RAISED {type(error).__name__}: {error}"[:200])

    async def _every_second(self, seconds: float) -> None:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await asyncio.sleep(1)
            await self._one("exchange_expired", self._sessions.exchange_expired)
