"""A PostgreSQL that Patroni keeps: it hands over, replaces who died, and hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.histories.ground import Ground
from tests.histories.nemesis import Nemesis, NoEffectError, seen, unanswered
from tests.histories.site import LIMIT, Site, Stores
from tests.support.patroni import PatroniCluster, lacking_patroni
from tests.support.patroni_member import PatroniMember


class Patroni(Nemesis):
    """Three members in synchronous mode; the nodes know all three."""

    _cluster: PatroniCluster
    _former: PatroniMember
    _since = 0.0

    def unavailable(self) -> str:
        return lacking_patroni()

    @asynccontextmanager
    async def stores(self, ground: Ground) -> AsyncIterator[Stores]:
        folder, world = await ground.template()
        valkey = await ground.valkey()
        cluster = self._cluster = PatroniCluster(ground.new_folder() / "patroni", folder)
        try:
            await asyncio.to_thread(cluster.start)
            self._former = await asyncio.to_thread(cluster.leader)
            world = world.moved_to(cluster.dsn, valkey.url)
            yield Stores(world, self._former.dsn, valkey=valkey)
        finally:
            await asyncio.to_thread(cluster.kill)
            await asyncio.to_thread(cluster.remove)

    async def took_effect(self, site: Site) -> str:
        """Another member leads, on another timeline."""
        leader = await asyncio.to_thread(self._cluster.wait_for_another, self._former)
        site.stores.direct = leader.dsn
        timeline = await asyncio.to_thread(
            leader.sql, "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"
        )
        if int(timeline, 16) < 2:
            raise NoEffectError("nobody was promoted")
        return f"{leader.name} follows {self._former.name}, timeline {timeline}"

    async def heal(self, site: Site) -> None:
        """The former leader joins again by itself."""
        del site


class Switchover(Patroni):
    """An operator hands the lead to the synchronous standby."""

    name = "patroni-switchover"
    title = "switchover by Patroni"

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        await asyncio.to_thread(self._cluster.switch_over)

    async def took_effect(self, site: Site) -> str:
        await seen(lambda: unanswered(site, self._since), "no call noticed it")
        return f"{await super().took_effect(site)}; {unanswered(site, self._since)}"


class PatroniHangs(Patroni):
    """The leader's Patroni hangs and its PostgreSQL goes on, until it is replaced and beyond."""

    name = "patroni-hangs"
    title = "Patroni hangs, its primary goes on beside the new one"
    seconds = LIMIT + 2

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        self._former.freeze_patroni()

    async def took_effect(self, site: Site) -> str:
        """Long after the start: the lease runs out first."""
        effect = await super().took_effect(site)
        recovering = await asyncio.to_thread(self._former.sql, "SELECT pg_is_in_recovery()")
        if recovering != "f":
            raise NoEffectError("the former primary gave up")
        return f"{effect}; both accept connections"

    async def heal(self, site: Site) -> None:
        del site
        await asyncio.to_thread(self._former.thaw)


PATRONI = (Switchover, PatroniHangs)
