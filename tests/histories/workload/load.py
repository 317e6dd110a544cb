"""All actors of a run together, and what is asked once more when they have stopped."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from tests.histories.site import LIMIT, Site
from tests.histories.workload.administration import Administration
from tests.histories.workload.operations import Context
from tests.histories.workload.people import People
from tests.histories.workload.sessions import Holder
from tests.histories.workload.validating import Gateway, Remote
from tests.support.clients import connect
from tests.support.waiting import PATIENCE
from tokenservice import Validator


@dataclass(frozen=True, slots=True)
class Volume:
    """How many actors of each kind there are."""

    holders: int = 12
    people: int = 2
    remotes: int = 2
    gateways: int = 1
    """Beside each node."""
    pause: float = 0.004
    """Seconds between two tokens that a gateway validates."""


class Load:
    """Actors that go on until they are stopped. What one of them raises is raised by `stop`."""

    def __init__(self, context: Context, volume: Volume) -> None:
        self.context = context
        administration = Administration(context)
        works: list[Callable[[], Awaitable[None]]] = [
            administration.rewrite,
            administration.switch,
            administration.revoke_many,
            administration.keys,
            administration.compromise,
            administration.codes,
            *(Holder(context).run for _ in range(volume.holders)),
            *(People(context).run for _ in range(volume.people)),
        ]
        for place in range(len(context.site.nodes)):
            works += [Gateway(context, place, volume.pause).run for _ in range(volume.gateways)]
            works += [Remote(context, place).run for _ in range(volume.remotes)]
        self._tasks = [asyncio.ensure_future(work()) for work in works]

    def check(self) -> None:
        """Raise what an actor raised."""
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception() is not None:
                task.result()

    async def stop(self) -> None:
        """Let every actor finish what it is at."""
        self.context.stopping = True
        await asyncio.gather(*self._tasks)

    async def abort(self) -> None:
        """End them where they are."""
        self.context.stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def loaded(site: Site, seed: int, volume: Volume) -> AsyncIterator[Load]:
    """The load on a site whose nodes run, with validators that have their first view."""
    async with AsyncExitStack() as stack:
        context = Context(site, random.Random(seed))
        stack.push_async_callback(context.close)
        for node in site.nodes:
            connection = await stack.enter_async_context(
                connect(site.world, node.address, "gateway", channels=1)
            )
            limit = timedelta(seconds=LIMIT)
            validator = Validator(connection, staleness_limit=limit, report_activity=False)
            await stack.enter_async_context(validator)
            assert await validator.wait_ready(timedelta(seconds=PATIENCE))
            context.validators.append(validator)
        load = Load(context, volume)
        try:
            yield load
        finally:
            await load.abort()


async def ask_once_more(context: Context, *, dead: int = 60) -> None:
    """Present what is over at both nodes and both validators, and exchange what is not."""
    for access in list(context.ended)[-dead:]:
        about = {"access": access.number}
        for place in range(len(context.site.nodes)):
            await context.validate(access, place)
            await context.decide(access.text, place, dict(about))
    for number, held in enumerate(context.left):
        await context.exchange(held, number % len(context.site.nodes), os.urandom(16))
