"""A single PostgreSQL that is there and has no room: locks, slots, disk."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import asyncpg

from tests.histories.faults.postgres import postgres_of
from tests.histories.ground import Ground, described
from tests.histories.nemesis import Nemesis, NoEffectError, seen, unanswered
from tests.histories.site import Site, Stores
from tests.histories.world import populate
from tests.support.waiting import PATIENCE
from token_service.adapters.postgres.migrate import migrate


class _Locked(Nemesis):
    """An open transaction holds locks."""

    _statement = ""
    _holder: "asyncpg.Connection[asyncpg.Record] | None" = None
    _rows = 0
    _since = 0.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        self._holder = await asyncpg.connect(site.stores.direct, timeout=PATIENCE)
        await self._holder.execute("BEGIN")
        self._rows = len(await self._holder.fetch(self._statement, timeout=PATIENCE))

    async def took_effect(self, site: Site) -> str:
        if not self._rows:
            raise NoEffectError("no row was locked")
        assert self._holder is not None
        pid = self._holder.get_server_pid()

        async def waited_for() -> bool:
            rows = await site.sql(
                "SELECT 1 FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))", pid
            )
            return bool(rows)

        async def given_up() -> bool:
            return "STORE_UNAVAILABLE" in unanswered(site, self._since) or await waited_for()

        await seen(given_up, "nobody waits for the lock")
        return f"{self._rows} rows are locked, and others wait for them"

    async def heal(self, site: Site) -> None:
        del site
        if self._holder is not None:
            await self._holder.execute("ROLLBACK")
            await self._holder.close(timeout=PATIENCE)


class RowsLocked(_Locked):
    """Session rows that are in use."""

    name = "rows-locked"
    title = "session rows are locked by an open transaction"
    _statement = (
        "SELECT 1 FROM sessions WHERE revoked_at IS NULL"
        " ORDER BY rotated_at DESC LIMIT 12 FOR UPDATE"
    )


class HeadLocked(_Locked):
    """The head of the trust log: no revocation can be written."""

    name = "head-locked"
    title = "the head of the trust log is locked by an open transaction"
    _statement = "SELECT 1 FROM trust_head FOR UPDATE"


class NoSlots(Nemesis):
    """Every connection that PostgreSQL allows is taken, and those that a node loses as well."""

    name = "no-slots"
    title = "PostgreSQL has no connection slots left"
    _held: "tuple[asyncpg.Connection[asyncpg.Record], ...]" = ()
    _terminated = 0

    async def start(self, site: Site) -> None:
        await self._take(site)
        rows = await self._held[0].fetch(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name <> 'histories'"
            " AND state = 'idle' LIMIT 6"
        )
        self._terminated = len(rows)
        await self._take(site)

    async def _take(self, site: Site) -> None:
        while True:
            try:
                self._held += (
                    await asyncpg.connect(
                        site.stores.direct,
                        timeout=PATIENCE,
                        server_settings={"application_name": "histories"},
                    ),
                )
            except asyncpg.TooManyConnectionsError:
                return

    async def took_effect(self, site: Site) -> str:
        try:
            await site.sql("SELECT 1")
        except asyncpg.TooManyConnectionsError:
            taken = len(self._held)
            return f"{taken} slots were taken, and {self._terminated} of the nodes' terminated"
        raise NoEffectError("another connection was accepted")

    async def heal(self, site: Site) -> None:
        del site
        for connection in self._held:
            await connection.close(timeout=PATIENCE)


class DiskFull(Nemesis):
    """The file system of PostgreSQL's data has no byte left. Needs root, for a small one."""

    name = "disk-full"
    title = "PostgreSQL's disk is full"
    _folder: Path | None = None
    _since = 0.0

    def unavailable(self) -> str:
        return "" if os.geteuid() == 0 else "only root can mount a small file system"

    @asynccontextmanager
    async def stores(self, ground: Ground) -> AsyncIterator[Stores]:
        self._folder = folder = ground.new_folder()
        mounted = ("mount", "-t", "tmpfs", "-o", "size=224m,mode=0711", "histories", str(folder))
        await asyncio.to_thread(subprocess.run, mounted, check=True)
        settings = {"max_wal_size": "64MB", "min_wal_size": "32MB"}
        postgres, valkey = described(folder, settings)
        try:
            await asyncio.gather(*map(asyncio.to_thread, (postgres.start, valkey.start)))
            dsn = await asyncio.to_thread(postgres.create_database, "histories")
            await asyncio.to_thread(migrate, dsn)
            yield Stores(await populate(dsn, valkey.url), dsn, postgres, valkey)
        finally:
            await asyncio.gather(*map(asyncio.to_thread, (postgres.stop, valkey.stop)))
            await asyncio.to_thread(subprocess.run, ("umount", "-l", str(folder)), check=True)

    @property
    def _filler(self) -> Path:
        assert self._folder is not None
        return self._folder / "filler"

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        await asyncio.to_thread(self._fill)

    def _fill(self) -> None:
        """Behind what fills it already: where that were given back first, PostgreSQL took it."""
        with self._filler.open("ab", buffering=0) as filler:
            for size in (65_536, 4_096):
                with suppress(OSError):
                    while True:
                        filler.write(bytes(size))

    async def took_effect(self, site: Site) -> str:
        postgres = postgres_of(site)
        log = postgres.cluster.parent / "server.log"

        def refused() -> bool:
            self._fill()  # what PostgreSQL gave back meanwhile
            return "No space left on device" in log.read_text(errors="replace")

        await seen(refused, "PostgreSQL found room", 30.0)
        await seen(lambda: unanswered(site, self._since), "every call was answered")
        return f"'No space left on device' in its log; {unanswered(site, self._since)}"

    async def heal(self, site: Site) -> None:
        await asyncio.to_thread(self._filler.unlink)
        postgres = postgres_of(site)
        if not postgres.running:
            await asyncio.to_thread(postgres.stop)
            await asyncio.to_thread(postgres.start)


CONTENTION = (RowsLocked, HeadLocked, NoSlots, DiskFull)
