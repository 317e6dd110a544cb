"""A replicated PostgreSQL that fails over by hand: in good order, with losses, or half."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import asyncpg

from tests.histories.ground import Ground
from tests.histories.history import Loss
from tests.histories.nemesis import Nemesis, NoEffectError, acknowledged, seen, unanswered
from tests.histories.site import LIMIT, Site, Stores
from tests.support.namespaces import Namespace, lacking_namespaces
from tests.support.postgres_cluster import Member, PostgresCluster
from tests.support.waiting import PATIENCE, patience

FENCED_WITHIN = 10.0
"""Seconds after which a run waits no longer for the fence, and takes it as promised."""


class Replicated(Nemesis):
    """A primary and two standbys; the nodes know all three."""

    synchronous: ClassVar[bool] = True
    may_fence: ClassVar[bool] = True
    """Whether the failover may end in everybody's logging in again."""
    _cluster: PostgresCluster
    _former: Member
    _since = 0.0
    _promoted = 0.0
    _rejoining: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def stores(self, ground: Ground) -> AsyncIterator[Stores]:
        folder, world = await ground.template()
        valkey = await ground.valkey()
        cluster = self._cluster = self.cluster(ground.new_folder() / "cluster", folder)
        self._former = cluster.primary
        await asyncio.to_thread(cluster.start)
        try:
            world = world.moved_to(self.address(), valkey.url)
            yield Stores(world, cluster.primary.dsn, valkey=valkey)
            if self._rejoining is not None:
                await self._rejoining
        finally:
            await asyncio.to_thread(cluster.stop)
            await asyncio.to_thread(cluster.remove)

    def cluster(self, folder: Path, template: Path) -> PostgresCluster:
        """The members, not started yet."""
        return PostgresCluster(folder, template, synchronous=self.synchronous)

    def address(self) -> str:
        """Where the nodes find the database."""
        return self._cluster.dsn

    async def heal(self, site: Site) -> None:
        """Promote the standby that has most; the other one follows it."""
        cluster = self._cluster
        standby = await asyncio.to_thread(cluster.most_advanced)
        self._promoted = site.recorder.now()
        await asyncio.to_thread(cluster.promote, standby)
        site.stores.direct = cluster.primary.dsn
        (other,) = (one for one in cluster.standbys if one is not self._former)
        await asyncio.to_thread(cluster.repoint, other)

    async def recovered(self, site: Site) -> None:
        await super().recovered(site)
        if self.may_fence and await _fences(site):
            site.recorder.history.losses.append(Loss(self._promoted, site.recorder.now()))
        self._rejoining = asyncio.create_task(self.rejoin())

    async def rejoin(self) -> None:
        """The former primary becomes a standby."""
        await asyncio.to_thread(self._cluster.rejoin, self._former)

    async def cut_standbys(self) -> None:
        """No standby receives anything from now on."""
        for standby in self._cluster.standbys:
            await asyncio.to_thread(standby.cut)

    async def crash(self) -> None:
        """Kill the primary."""
        await asyncio.to_thread(self._former.crash)


class SynchronousFailover(Replicated):
    """The primary dies; a standby that has every acknowledged commit takes over."""

    name = "synchronous-failover"
    title = "synchronous failover"
    may_fence = False
    seconds = 2.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        await self.crash()

    async def took_effect(self, site: Site) -> str:
        if self._former.running:
            raise NoEffectError("the primary runs on")
        await seen(
            lambda: "STORE_UNAVAILABLE" in unanswered(site, self._since),
            "no call missed the database",
        )
        return f"{self._former.name} is gone; {unanswered(site, self._since)}"


class PrimaryUnreachable(Replicated):
    """The network loses every packet from and to the primary, which knows nothing of it."""

    name = "primary-unreachable"
    title = "the primary vanishes from the network, then failover"
    may_fence = False
    seconds = 2.0
    _namespace: Namespace

    def unavailable(self) -> str:
        return lacking_namespaces()

    @asynccontextmanager
    async def stores(self, ground: Ground) -> AsyncIterator[Stores]:
        with Namespace() as self._namespace:
            async with super().stores(ground) as stores:
                yield stores

    def cluster(self, folder: Path, template: Path) -> PostgresCluster:
        return PostgresCluster(folder, template, namespace=self._namespace)

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        await asyncio.to_thread(self._namespace.cut)

    async def took_effect(self, site: Site) -> str:
        await seen(
            lambda: "STORE_UNAVAILABLE" in unanswered(site, self._since),
            "no call missed the database",
        )
        if await asyncio.to_thread(self._former.in_recovery):
            raise NoEffectError("the primary gave up")
        missed = unanswered(site, self._since)
        return f"{self._former.name} runs on and nothing reaches it; {missed}"

    async def rejoin(self) -> None:
        await asyncio.to_thread(self._namespace.mend)
        await super().rejoin()


class CancelledWait(Replicated):
    """Both standbys are cut off; callers give up waiting and retry; then the primary dies."""

    name = "cancelled-wait"
    title = "synchronous wait cancelled, retried, then failover"
    seconds = LIMIT - 1

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        await self.cut_standbys()

    async def took_effect(self, site: Site) -> str:
        async def waits() -> bool:
            query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            return bool((await site.sql(query))[0][0])

        await seen(waits, "no commit waits for a standby")
        await seen(
            lambda: (
                unanswered(site, self._since).keys() & {"STORE_UNAVAILABLE", "DEADLINE_EXCEEDED"}
            ),
            "no caller gave up",
        )
        return f"commits wait for a standby; {unanswered(site, self._since)}"

    async def heal(self, site: Site) -> None:
        await self.crash()
        await super().heal(site)


class LossyFailover(Replicated):
    """Asynchronous standbys lag when the primary dies: what it acknowledged last is gone."""

    name = "lossy-failover"
    title = "lossy failover, revision numbers given again"
    synchronous = False
    may_fence = False  # it must, and the loss is noted with it
    seconds = 2.0
    _revision = 0
    _epoch = ""

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        await self.cut_standbys()
        self._revision, _ = await _head(site.stores.direct)

    async def took_effect(self, site: Site) -> str:
        """Standbys show less than what the nodes were told of."""

        async def ahead() -> bool:
            return (await _head(site.stores.direct))[0] >= self._revision + 2

        await seen(ahead, "nothing was revoked since the standbys were cut off")
        last, self._epoch = await _head(site.stores.direct)
        lag = await asyncio.to_thread(self._cluster.lag, self._cluster.standbys[0])
        if not lag:
            raise NoEffectError("the standby does not lag")
        return f"{lag} bytes and revisions {self._revision + 1} to {last} are lost"

    async def heal(self, site: Site) -> None:
        await self.crash()
        await super().heal(site)
        loss = await self._fenced(site)
        site.recorder.history.losses.append(loss)

    async def _fenced(self, site: Site) -> Loss:
        """When the fence was committed; without one, when the new primary took its first write."""
        accepted = site.recorder.now()
        try:
            async with patience(FENCED_WITHIN):
                while (await _head(site.stores.direct))[1] == self._epoch:
                    await asyncio.sleep(0.02)
        except TimeoutError:
            return Loss(self._since, accepted)
        return Loss(self._since, site.recorder.now())


class ZombiePrimary(Replicated):
    """The primary is cut off from its standbys and from one node; the other node stays with it."""

    name = "zombie-primary"
    title = "a cut-off primary that goes on beside the new one"
    databases = True
    seconds = LIMIT + 3

    def address(self) -> str:
        """Each node reaches one member, through a proxy of its own."""
        return self._cluster.primary.dsn

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        await self.cut_standbys()
        await super().heal(site)
        site.recorder.history.divided = self._promoted
        self._lead(site, 1)

    async def took_effect(self, site: Site) -> str:
        if await asyncio.to_thread(self._former.in_recovery):
            raise NoEffectError("the former primary gave up")
        await seen(
            lambda: acknowledged(site, self._since, "node-1"), "node-1 does not use the new primary"
        )
        await seen(
            lambda: unanswered(site, self._since, "node-0"), "node-0 does not miss the standbys"
        )
        old, new = self._former.timeline(), self._cluster.primary.timeline()
        return (
            f"two primaries, timelines {old} and {new}; {unanswered(site, self._since, 'node-0')}"
        )

    async def heal(self, site: Site) -> None:
        self._lead(site, 0)

    def _lead(self, site: Site, number: int) -> None:
        """Let a node reach the new primary, and hang up on it."""
        database = site.nodes[number].database
        assert database is not None
        database.target = self._cluster.primary.address
        database.cut()
        database.mend()


async def _fences(site: Site) -> int:
    """How often everybody had to log in again."""
    if not await site.sql("SELECT 1 FROM pg_tables WHERE tablename = 'trust_successions'"):
        return 0
    return int((await site.sql("SELECT count(*) FROM trust_successions WHERE fenced"))[0][0])


async def _head(dsn: str) -> tuple[int, str]:
    """Revision and epoch of the trust log."""
    connection = await asyncpg.connect(dsn, timeout=PATIENCE)
    try:
        row = await connection.fetchrow("SELECT revision, epoch::text FROM trust_head")
        assert row is not None
        return row[0], row[1]
    finally:
        await connection.close(timeout=PATIENCE)


REPLICATION = (SynchronousFailover, PrimaryUnreachable, LossyFailover, ZombiePrimary, CancelledWait)
