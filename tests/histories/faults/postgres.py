"""A single PostgreSQL that is killed, frozen, full, locked, or far away."""

import asyncio
import os
import signal

from tests.histories.nemesis import Nemesis, NoEffectError, seen, unanswered
from tests.histories.site import LIMIT, Site
from token_service.adapters.embedded.cluster import postgres_processes


class PostgresKilled(Nemesis):
    """SIGKILL to all its processes; it recovers what was committed."""

    name = "postgres-killed"
    title = "PostgreSQL is killed"
    seconds = 3.0
    _since = 0.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        assert site.stores.postgres is not None
        await asyncio.to_thread(site.stores.postgres.crash)

    async def took_effect(self, site: Site) -> str:
        assert site.stores.postgres is not None
        if site.stores.postgres.running:
            raise NoEffectError("PostgreSQL runs on")
        await seen(
            lambda: "STORE_UNAVAILABLE" in unanswered(site, self._since),
            "no call missed the database",
        )
        return f"no process is left; {unanswered(site, self._since)}"

    async def heal(self, site: Site) -> None:
        assert site.stores.postgres is not None
        await asyncio.to_thread(site.stores.postgres.start)


class PostgresFrozen(Nemesis):
    """SIGSTOP to all its processes for longer than the staleness limit."""

    name = "postgres-frozen"
    title = "PostgreSQL is frozen for longer than the staleness limit"
    seconds = LIMIT + 2
    _since = 0.0
    _stopped: tuple[int, ...] = ()

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        assert site.stores.postgres is not None
        self._stopped = tuple(postgres_processes(site.stores.postgres.cluster))
        for pid in self._stopped:
            os.kill(pid, signal.SIGSTOP)

    async def took_effect(self, site: Site) -> str:
        await seen(
            lambda: "STORE_UNAVAILABLE" in unanswered(site, self._since),
            "no call missed the database",
        )
        return f"{len(self._stopped)} processes stand still; {unanswered(site, self._since)}"

    async def heal(self, site: Site) -> None:
        del site
        for pid in self._stopped:
            os.kill(pid, signal.SIGCONT)


POSTGRES = (PostgresKilled, PostgresFrozen)
