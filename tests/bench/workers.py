"""Two workers against one process on the same stores, in interleaved rounds; and what it takes to
start them.

Also a program: `python -m tests.bench.workers [--quick]` measures it alone.

With two cores, the load takes its part of them (`loader_cpu_us_per_call`), and one process uses
more than one core, as the library has threads of its own. So there are two more comparisons: bare
echoes, two against one, which is how much this machine has to give; and two workers with all cores
against one process with a single core, each with its load on its own cores, which is what twice the
machine carries.
"""

import asyncio
import os
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench import filling
from tests.bench.h2load import ended_ok
from tests.bench.jobs import VALIDATE
from tests.bench.loads import Load, blast, on_cores
from tests.bench.processes import REPLY_BYTES, Echo, cpu_seconds, median
from tests.bench.requests import validate
from tests.bench.stores import alone
from tests.support.api import basic
from tests.support.ports import fixed_port
from tests.support.processes import workers_of
from tests.support.servers import ServerProcess
from tests.support.world import World, seed
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.postgres.migrate import migrate
from token_service.app.parts import Parts

ONE_CORE = "1 on one core"


class Served:
    """A service of so many processes; all of them, and their load, on `cores`."""

    def __init__(self, world: World, workers: int, cores: set[int]) -> None:
        self.metrics = f"127.0.0.1:{fixed_port()}"
        self.cores = cores
        begin = time.monotonic()
        with on_cores(cores):
            self.server = ServerProcess(
                world.environment(
                    workers=str(workers),
                    metrics_listen=self.metrics,
                    rate_scale="1000",
                    allow_unsafe_durability="false",
                )
            )
        self.start_seconds = time.monotonic() - begin
        pid = self.server.process.pid
        self.serving = workers_of(pid) if workers > 1 else [pid]
        self.processes = [pid, *self.serving] if workers > 1 else [pid]
        self.start_cpu = self._cpu()
        self._world = world

    def load(self, request: bytes, seconds: float) -> Load:
        """Raises RuntimeError when a single call did not end OK."""
        authorization = basic("demo-gateway", self._world.clients["demo-gateway"])
        counted, used = ended_ok(self.metrics, VALIDATE), self._cpu()
        with on_cores(self.cores):
            load = blast(self.server.address, VALIDATE, authorization, request, seconds)
        load.server_cpu_us = 1e6 * (self._cpu() - used) / load.calls
        ended = ended_ok(self.metrics, VALIDATE) - counted
        if ended != load.calls:
            raise RuntimeError(f"{ended} of {load.calls} calls ended OK")
        return load

    def rss_mib(self) -> float:
        """The resident memory of the largest process that serves."""
        return max(map(_rss_mib, self.serving))

    def _cpu(self) -> float:
        return sum(map(cpu_seconds, self.processes))


class Echoes:
    """So many bare echoes on one port."""

    def __init__(self, stack: ExitStack, number: int) -> None:
        port = fixed_port()
        self._echoes = [Echo(port, validate=REPLY_BYTES) for _ in range(number)]
        for echo in self._echoes:
            stack.callback(echo.close)

    def load(self, request: bytes, seconds: float) -> Load:
        """As that of a service."""
        used = self._cpu()
        load = blast(self._echoes[0].address, "/echo/validate", "Basic YTpi", request, seconds)
        load.server_cpu_us = 1e6 * (self._cpu() - used) / load.calls
        return load

    def _cpu(self) -> float:
        return sum(cpu_seconds(echo.pid) for echo in self._echoes)


def measure(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, *, quick: bool
) -> dict[str, Any]:
    """The ratios, and the figures behind them."""
    del folder
    rounds, seconds = (3, 1.0) if quick else (9, 3.0)
    world, request = asyncio.run(_prepare(postgres, redis_url))
    every = os.sched_getaffinity(0)
    loads: dict[str, list[Load]] = defaultdict(list)
    with ExitStack() as stack:
        services = {
            "1": Served(world, 1, every),
            "2": Served(world, 2, every),
            ONE_CORE: Served(world, 1, {min(every)}),
        }
        for service in services.values():
            stack.callback(service.server.kill)
        echoes = {f"{number} echo": Echoes(stack, number) for number in (1, 2)}
        time.sleep(1.5)
        idle = {name: service.rss_mib() for name, service in services.items()}
        supervisor = _rss_mib(services["2"].server.process.pid)
        for _ in range(rounds):
            for name, arm in (services | echoes).items():
                loads[name].append(arm.load(request, seconds))
    results = _ratios(loads)
    results["workers"] |= {
        "start_seconds": {n: round(one.start_seconds, 2) for n, one in services.items()},
        "start_cpu_seconds": {n: round(one.start_cpu, 2) for n, one in services.items()},
        "idle_rss_mib": {n: round(one, 1) for n, one in idle.items()},
        "supervisor_rss_mib": round(supervisor, 1),
    }
    return results


def _ratios(loads: dict[str, list[Load]]) -> dict[str, Any]:
    rates = {n: median([load.per_second for load in arm]) for n, arm in loads.items()}
    cpu_us = {n: median([load.server_cpu_us for load in arm]) for n, arm in loads.items()}
    loader_us = median([load.loader_cpu_us for arm in loads.values() for load in arm])
    return {
        "workers_2_vs_1_throughput": rates["2"] / rates["1"],
        "workers_2_vs_1_cpu": cpu_us["2"] / cpu_us["1"],
        "echoes_2_vs_1_throughput": rates["2 echo"] / rates["1 echo"],
        "echoes_2_vs_1_cpu": cpu_us["2 echo"] / cpu_us["1 echo"],
        "cores_2_vs_1_throughput": rates["2"] / rates[ONE_CORE],
        "cores_2_vs_1_cpu": cpu_us["2"] / cpu_us[ONE_CORE],
        "workers": {
            "loader_cpu_us_per_call": round(loader_us, 1),
            "cpu_us_per_call": {name: round(us, 1) for name, us in cpu_us.items()},
            "calls_per_second": {name: round(rate) for name, rate in rates.items()},
        },
    }


async def _prepare(postgres: EmbeddedPostgres, redis_url: str) -> tuple[World, bytes]:
    dsn = postgres.create_database("workers")
    await asyncio.to_thread(migrate, dsn)
    world = await seed(World(dsn, redis_url, SecretKeys.generate_text(), {}, "", ""))
    parts = await Parts.open(world.settings(allow_unsafe_durability=False))
    try:
        return world, validate((await filling.access_tokens(world, parts))["jwt"])
    finally:
        await parts.close()


def _rss_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    alone(measure)
