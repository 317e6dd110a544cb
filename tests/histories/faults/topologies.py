"""Redis with a successor: under Sentinels, and as a Cluster."""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from tests.histories.ground import Ground
from tests.histories.nemesis import RECOVERY, Nemesis, NoEffectError, acknowledged, seen
from tests.histories.site import Site, Stores
from tests.support.valkey_node import ValkeyNode
from tests.support.valkey_topologies import ClusterService, SentinelService
from tests.support.waiting import patience


class RedisMemberLost(Nemesis):
    """A member is killed; the others replace it, and it joins them again later."""

    _victim: ValkeyNode
    _since = 0.0

    @asynccontextmanager
    async def stores(self, ground: Ground) -> AsyncIterator[Stores]:
        service = self.service(ground.new_folder())
        await asyncio.to_thread(service.__enter__)
        try:
            stores = await ground.shared()
            world = stores.world.moved_to(stores.direct, service.url)
            yield replace(stores, world=world, valkey=None)
        finally:
            await asyncio.to_thread(service.__exit__)

    @abstractmethod
    def service(self, folder: Path) -> SentinelService | ClusterService:
        """What the nodes use."""

    @abstractmethod
    def victim(self) -> ValkeyNode:
        """Who dies; may block."""

    @abstractmethod
    def replaced(self) -> str:
        """Who took over; waits for it, and may block."""

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        self._victim = await asyncio.to_thread(self.victim)
        await asyncio.to_thread(self._victim.kill)

    async def took_effect(self, site: Site) -> str:
        """A call missed it, or a node's log says that one did."""
        if self._victim.running:
            raise NoEffectError("it runs on")
        await seen(
            lambda: any(node.events("redis_away") for node in site.nodes), "no node missed Redis"
        )
        successor = await asyncio.to_thread(self.replaced)
        return f"{self._victim.address} is gone, {successor} took over; nodes logged redis_away"

    async def heal(self, site: Site) -> None:
        self._since = site.recorder.now()
        await asyncio.to_thread(self._victim.start)
        await asyncio.to_thread(self._victim.wait)

    async def recovered(self, site: Site) -> None:
        """Exchanges went on all the time; pairings, which need Redis, begin again."""
        await super().recovered(site)
        places = [node.name for node in site.nodes]
        async with patience(RECOVERY):
            while not any(acknowledged(site, self._since, one, "start_pairing") for one in places):
                await asyncio.sleep(0.02)


class SentinelFailover(RedisMemberLost):
    """The primary is killed, and the Sentinels promote its replica."""

    name = "sentinel-failover"
    title = "Redis fails over (Sentinel)"
    _service: SentinelService

    def service(self, folder: Path) -> SentinelService:
        self._service = SentinelService(folder)
        return self._service

    def victim(self) -> ValkeyNode:
        return self._service.primary()

    def replaced(self) -> str:
        return self._service.wait_for_failover(self._victim).address


class ClusterMemberLost(RedisMemberLost):
    """A member of a Cluster is killed, and its replica takes its slots."""

    name = "cluster-member-lost"
    title = "a member of the Redis Cluster is lost"
    _service: ClusterService

    def service(self, folder: Path) -> ClusterService:
        self._service = ClusterService(folder)
        return self._service

    def victim(self) -> ValkeyNode:
        return self._service.members[0]

    def replaced(self) -> str:
        self._service.wait_until_covered()
        return self._service.replicas[0].address


TOPOLOGIES = (SentinelFailover, ClusterMemberLost)
