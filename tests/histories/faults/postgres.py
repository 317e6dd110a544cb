"""A single PostgreSQL that is killed, frozen, restarted, or far away."""

import asyncio
import os
import signal
import time
from functools import partial

import asyncpg

from tests.histories.nemesis import Nemesis, NoEffectError, acknowledged, seen, unanswered
from tests.histories.site import LIMIT, Node, Site
from tests.support.waiting import PATIENCE
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.embedded.cluster import postgres_processes


def postgres_of(site: Site) -> EmbeddedPostgres:
    """The server that the nodes use."""
    assert site.stores.postgres is not None
    return site.stores.postgres


DELAY = 0.15
"""Seconds that each way to PostgreSQL takes longer."""


class _Missing(Nemesis):
    """A PostgreSQL that cannot be used."""

    _since = 0.0

    async def missed(self, site: Site) -> str:
        """That both nodes missed it."""
        for node in site.nodes:
            condition = partial(self._misses, site, node)
            await seen(condition, f"no call to {node.name} missed the database")
        return f"{unanswered(site, self._since)}"

    def _misses(self, site: Site, node: Node) -> bool:
        return "STORE_UNAVAILABLE" in unanswered(site, self._since, node.name)


class PostgresKilled(_Missing):
    """SIGKILL to all its processes; it recovers what was committed."""

    name = "postgres-killed"
    title = "PostgreSQL is killed"
    seconds = 2.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        await asyncio.to_thread(postgres_of(site).crash)

    async def took_effect(self, site: Site) -> str:
        if postgres_of(site).running:
            raise NoEffectError("PostgreSQL runs on")
        return f"no process is left; {await self.missed(site)}"

    async def heal(self, site: Site) -> None:
        await asyncio.to_thread(postgres_of(site).start)


class PostgresFrozen(_Missing):
    """SIGSTOP to all its processes for longer than the staleness limit."""

    name = "postgres-frozen"
    title = "PostgreSQL is frozen for longer than the staleness limit"
    seconds = LIMIT + 1
    _stopped: tuple[int, ...] = ()

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        self._stopped = tuple(postgres_processes(postgres_of(site).cluster))
        for pid in self._stopped:
            os.kill(pid, signal.SIGSTOP)

    async def took_effect(self, site: Site) -> str:
        return f"{len(self._stopped)} processes stand still; {await self.missed(site)}"

    async def heal(self, site: Site) -> None:
        del site
        for pid in self._stopped:
            os.kill(pid, signal.SIGCONT)


class PostgresRestarted(Nemesis):
    """A fast shutdown and a start."""

    name = "postgres-restarted"
    title = "PostgreSQL is restarted"
    seconds = 1.0
    _pids = (0, 0)

    async def start(self, site: Site) -> None:
        before = postgres_of(site).pid
        await asyncio.to_thread(postgres_of(site).stop)
        await asyncio.to_thread(postgres_of(site).start)
        self._pids = (before, postgres_of(site).pid)

    async def took_effect(self, site: Site) -> str:
        del site
        if self._pids[0] == self._pids[1]:
            raise NoEffectError("it is the same process")
        return "another process serves the same data"

    async def heal(self, site: Site) -> None:
        del site


class ConnectionsTerminated(Nemesis):
    """`pg_terminate_backend` of everything, several times a second."""

    name = "connections-terminated"
    title = "all connections to PostgreSQL are terminated three times a second"
    _terminated = 0
    _task: asyncio.Task[None] | None = None

    async def start(self, site: Site) -> None:
        self._task = asyncio.create_task(self._terminate(site))

    async def _terminate(self, site: Site) -> None:
        while True:
            rows = await site.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            self._terminated += len(rows)
            await asyncio.sleep(0.3)

    async def took_effect(self, site: Site) -> str:
        del site
        await seen(lambda: self._terminated > 20, "few connections were terminated")
        return "connections of both nodes were terminated"

    async def heal(self, site: Site) -> None:
        del site
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class RepliesSwallowed(Nemesis):
    """Statements reach PostgreSQL and are committed; nothing comes back."""

    name = "replies-swallowed"
    title = "replies of PostgreSQL are lost after the commit"
    databases = True
    seconds = 4.0
    _since = 0.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        for node in site.nodes:
            node.database_proxy.swallow_replies()

    async def took_effect(self, site: Site) -> str:
        for node in site.nodes:
            await seen(partial(_swallows, node), "nothing was swallowed")
        await seen(lambda: unanswered(site, self._since), "every call was answered")
        return f"{unanswered(site, self._since)}"

    async def heal(self, site: Site) -> None:
        for node in site.nodes:
            node.database_proxy.cut()
            node.database_proxy.mend()


def _swallows(node: Node) -> bool:
    return node.database_proxy.swallowed > 0


class FarAway(Nemesis):
    """Each round trip to PostgreSQL takes 300 ms more."""

    name = "postgres-300ms"
    title = "PostgreSQL is 300 ms away"
    databases = True
    seconds = 8.0
    _since = 0.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        for node in site.nodes:
            node.database_proxy.delay = DELAY

    async def took_effect(self, site: Site) -> str:
        connection = await asyncpg.connect(site.nodes[0].dsn, timeout=PATIENCE)
        try:
            began = time.monotonic()
            await connection.execute("SELECT 1", timeout=PATIENCE)  # one round trip
            trip = time.monotonic() - began
        finally:
            await connection.close(timeout=PATIENCE)
        if not trip >= 2 * DELAY:
            raise NoEffectError(f"a round trip takes {trip:.3f} s")
        return f"a round trip takes {trip * 1e3:.0f} ms"

    async def heal(self, site: Site) -> None:
        revoked = [
            one
            for node in site.nodes
            for one in acknowledged(site, self._since, node.name, "revoke")
        ]
        for node in site.nodes:
            node.database_proxy.mend()
        if not revoked:
            raise AssertionError("no revocation was acknowledged meanwhile")


POSTGRES = (
    PostgresKilled,
    PostgresFrozen,
    PostgresRestarted,
    ConnectionsTerminated,
    RepliesSwallowed,
    FarAway,
)
