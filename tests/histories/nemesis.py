"""The interface of faults: what breaks, that it did break, and that it was mended.

A run calls the methods of a nemesis in this order: `unavailable`, `stores`, `start` (after a calm
time), `took_effect`, then time passes, `heal`, `recovered`. A nemesis of another installation than
one PostgreSQL and one Valkey overrides `stores`; then the nodes run on what it gives.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import ClassVar

from tests.histories.ground import Ground
from tests.histories.history import Operation, Outcome
from tests.histories.site import Site, Stores
from tests.support.waiting import patience

RECOVERY = 30.0
"""Seconds within which both nodes have to serve again, once the fault is mended."""


class NoEffectError(AssertionError):
    """The fault did not happen: the run proves nothing."""


class Nemesis(ABC):
    """One kind of fault. `title` stands in the matrix of docs/faults.md."""

    name: ClassVar[str]
    title: ClassVar[str]
    seconds: ClassVar[float] = 5.0
    """How long the fault lasts."""
    fronts: ClassVar[bool] = False
    """Whether clients reach the nodes through proxies (`node.front`)."""
    databases: ClassVar[bool] = False
    """Whether the nodes reach PostgreSQL through proxies (`node.database`)."""
    modules: ClassVar[tuple[str, ...]] = ()
    """The programs that the nodes run, where it is not `token-service serve`."""
    of_node: ClassVar[tuple[dict[str, str], ...]] = ()
    """What each node finds in its environment besides."""
    settings: ClassVar[dict[str, str]] = {}
    """Settings of the nodes, by name in lower case."""

    def unavailable(self) -> str:
        """Why it cannot run here; empty where it can."""
        return ""

    @asynccontextmanager
    async def stores(self, ground: Ground) -> AsyncIterator[Stores]:
        """Running stores with the clients of `world` in them: those that several runs share."""
        yield await ground.shared()

    @abstractmethod
    async def start(self, site: Site) -> None:
        """Break it."""

    @abstractmethod
    async def took_effect(self, site: Site) -> str:
        """What shows that it is broken: the state of a process, a log line, a counter. Waits for
        it; raises NoEffectError where nothing shows it."""

    @abstractmethod
    async def heal(self, site: Site) -> None:
        """Mend it."""

    async def recovered(self, site: Site) -> None:
        """Return when both nodes have acknowledged an exchange that was sent after `heal`."""
        healed = site.recorder.now()
        async with patience(RECOVERY):
            for node in site.nodes:
                while not acknowledged(site, healed, node.name):
                    await asyncio.sleep(0.02)


def acknowledged(site: Site, since: float, place: str, kind: str = "exchange") -> list[Operation]:
    """Acknowledged operations of that kind that were sent to a place since then."""
    found = []
    for one in reversed(site.recorder.history.operations):
        if one.done < since:
            break
        if one.kind == kind and one.ok and one.place == place and one.sent >= since:
            found.append(one)
    return found


def unanswered(site: Site, since: float, place: str = "") -> dict[str, int]:
    """How many operations (at a place) that ended since then have an unknown outcome, by reason."""
    found: Counter[str] = Counter()
    for one in reversed(site.recorder.history.operations):
        if one.done < since:
            break
        if one.outcome is Outcome.UNKNOWN and place in ("", one.place):
            found[one.reason] += 1
    return dict(found)


async def seen(condition: Callable[[], object], what: str, within: float = 15.0) -> None:
    """Wait for a sign of the fault, which may be awaited; raises NoEffectError."""
    try:
        async with patience(within):
            while True:
                found = condition()
                if await found if isawaitable(found) else found:
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise NoEffectError(what) from None
