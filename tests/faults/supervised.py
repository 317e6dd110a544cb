"""A server of several processes, as a test sees it: its log, its workers, its metrics."""

import asyncio
import json
import os
import signal
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError

import asyncpg

from tests.support.ports import fixed_port
from tests.support.processes import workers_of
from tests.support.servers import ServerProcess
from tests.support.waiting import PATIENCE, until
from tests.support.world import World

EXCHANGE = "/tokenservice.v1.TokenService/Exchange"
ISSUE = "/tokenservice.v1.TokenService/Issue"


class Supervised:
    """A supervisor and its workers. Workers are named by their process ids."""

    def __init__(self, server: ServerProcess, metrics: str) -> None:
        self.server = server
        self.address = server.address
        self._metrics = metrics

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of that name so far."""
        lines = (json.loads(line) for line in tuple(self.server.output) if line.startswith("{"))
        return [line for line in lines if line["event"] == name]

    async def event(self, name: str, number: int = 1) -> dict[str, Any]:
        """The log line of that name, once it is there; the `number`th."""

        async def there() -> bool:
            return len(self.events(name)) >= number

        await until(there)
        return self.events(name)[number - 1]

    def workers(self) -> list[int]:
        """Those that run now."""
        return workers_of(self.server.process.pid)

    def kill_worker(self) -> int:
        """End one of them at once; which."""
        victim = self.workers()[0]
        os.kill(victim, signal.SIGKILL)
        return victim

    def kill_workers(self) -> None:
        """End all of them at once."""
        for worker in self.workers():
            os.kill(worker, signal.SIGKILL)

    def renew(self) -> None:
        """Replace all of them."""
        self.server.process.send_signal(signal.SIGHUP)

    async def probe(self, path: str) -> tuple[int, str]:
        """Status and body of `/livez` or `/readyz`."""
        return await asyncio.to_thread(probed, self._metrics, path)

    async def samples(self) -> dict[str, float]:
        """All metrics, by name with labels."""
        return await asyncio.to_thread(self._scrape)

    async def ended(self, method: str) -> float:
        """How many calls of the method have ended with OK."""
        samples = await self.samples()
        labels = f'{{code="OK",method="{method}"}}'
        return samples.get(f"token_service_rpc_calls_total{labels}", 0.0)

    def _scrape(self) -> dict[str, float]:
        with urllib.request.urlopen(f"http://{self._metrics}/metrics", timeout=PATIENCE) as reply:
            text: str = reply.read().decode()
        rows = (row.rpartition(" ") for row in text.splitlines() if not row.startswith("#"))
        return {name: float(value) for name, _, value in rows}


def probed(metrics: str, path: str) -> tuple[int, str]:
    """What a server's metrics address says at `path`."""
    try:
        with urllib.request.urlopen(f"http://{metrics}{path}", timeout=PATIENCE) as reply:
            return reply.status, reply.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def supervised(world: World, **settings: str) -> Supervised:
    """Start one with two workers."""
    metrics = f"127.0.0.1:{fixed_port()}"
    server = ServerProcess(world.environment(workers="2", metrics_listen=metrics, **settings))
    return Supervised(server, metrics)


def falling(
    before: dict[str, float], after: dict[str, float], counts: Callable[[str], bool]
) -> list[str]:
    """Those that `counts` says only grow, and that are smaller than before or gone."""
    return [name for name in before if counts(name) and after.get(name, -1.0) < before[name]]


async def allow_connections(world: World, *, allowed: bool) -> None:
    """To the database, or refuse them; those that there are stay."""
    name = world.dsn.partition("?")[0].rpartition("/")[2]
    connection = await asyncpg.connect(world.dsn, database="postgres")
    try:
        await connection.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {allowed}')
    finally:
        await connection.close()
