"""A single Valkey that is killed, frozen, emptied, full, or read only."""

import asyncio
import os
import signal
from typing import Any

import redis

from tests.histories.nemesis import Nemesis, NoEffectError, seen
from tests.histories.site import Site
from token_service.adapters.embedded import EmbeddedValkey


def _valkey(site: Site) -> EmbeddedValkey:
    assert site.stores.valkey is not None
    return site.stores.valkey


async def _ask(site: Site, *command: str) -> Any:
    def ask() -> Any:
        with redis.from_url(_valkey(site).url) as connection:
            return connection.execute_command(*command)

    return await asyncio.to_thread(ask)


async def _without_pairings(site: Site, since: float) -> str:
    """New pairings need it, and are refused."""
    started = site.recorder.history.operations

    def refused() -> list[str]:
        return [
            one.reason
            for one in started
            if one.kind == "start_pairing" and not one.ok and one.done > since
        ]

    await seen(refused, "pairings were started all the same", 20.0)
    return f"new pairings end with {', '.join(sorted(set(refused())))}"


class ValkeyKilled(Nemesis):
    """SIGKILL, and started again, empty."""

    name = "redis-killed"
    title = "Redis is killed"
    _since = 0.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        await asyncio.to_thread(_valkey(site).crash)

    async def took_effect(self, site: Site) -> str:
        if _valkey(site).running:
            raise NoEffectError("it runs on")
        return await _without_pairings(site, self._since)

    async def heal(self, site: Site) -> None:
        await asyncio.to_thread(_valkey(site).start)


class ValkeyFrozen(Nemesis):
    """SIGSTOP and SIGCONT."""

    name = "redis-frozen"
    title = "Redis is frozen"
    _since = 0.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        os.kill(_valkey(site).pid, signal.SIGSTOP)

    async def took_effect(self, site: Site) -> str:
        return await _without_pairings(site, self._since)

    async def heal(self, site: Site) -> None:
        os.kill(_valkey(site).pid, signal.SIGCONT)


class ValkeyEmptied(Nemesis):
    """FLUSHALL five times a second."""

    name = "redis-flushall"
    title = "FLUSHALL, five times a second"
    _task: asyncio.Task[None] | None = None
    _flushed = 0

    async def start(self, site: Site) -> None:
        self._task = asyncio.create_task(self._empty(site))

    async def _empty(self, site: Site) -> None:
        while True:
            await _ask(site, "FLUSHALL")
            self._flushed += 1
            await asyncio.sleep(0.2)

    async def took_effect(self, site: Site) -> str:
        await seen(lambda: self._flushed > 5, "it was not emptied")
        calls = (await _ask(site, "INFO", "commandstats"))["cmdstat_flushall"]["calls"]
        return f"FLUSHALL was counted {'more than 5 times' if calls > 5 else calls}"

    async def heal(self, site: Site) -> None:
        del site
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


class ValkeyFull(Nemesis):
    """`maxmemory` is below what is used, and nothing may be evicted."""

    name = "redis-oom"
    title = "Redis is out of memory"
    _since = 0.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        await _ask(site, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        await _ask(site, "CONFIG", "SET", "maxmemory", "100kb")

    async def took_effect(self, site: Site) -> str:
        try:
            await _ask(site, "SET", "histories", "1")
        except redis.OutOfMemoryError:
            return f"SET ends with OOM; {await _without_pairings(site, self._since)}"
        raise NoEffectError("SET found room")

    async def heal(self, site: Site) -> None:
        await _ask(site, "CONFIG", "SET", "maxmemory", "256mb")
        await _ask(site, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")


class ValkeyReadOnly(Nemesis):
    """It becomes the replica of nobody that answers."""

    name = "redis-readonly"
    title = "Redis became a read-only replica"
    _since = 0.0

    async def start(self, site: Site) -> None:
        self._since = site.recorder.now()
        await _ask(site, "REPLICAOF", "127.0.0.1", "1")

    async def took_effect(self, site: Site) -> str:
        try:
            await _ask(site, "SET", "histories", "1")
        except redis.ReadOnlyError:
            return f"SET ends with READONLY; {await _without_pairings(site, self._since)}"
        raise NoEffectError("SET was accepted")

    async def heal(self, site: Site) -> None:
        await _ask(site, "REPLICAOF", "NO", "ONE")


VALKEY = (ValkeyKilled, ValkeyFrozen, ValkeyEmptied, ValkeyFull, ValkeyReadOnly)
