"""Two workers against one process on the same stores, in interleaved rounds; and what it takes to
start them.

Also a program: `python -m tests.bench.workers [--quick]` measures it alone.

With two cores, the load takes its part of them (`loader_cpu_us_per_call`), so that two workers can
never reach twice the throughput of one here: at best 2 · server / (server + loader) of it, and less
where others use the machine as well.
"""

import asyncio
import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench import filling
from tests.bench.h2load import ended_ok
from tests.bench.processes import ROOT, cpu_seconds, free_port, median
from tests.bench.requests import validate
from tests.bench.stores import alone
from tests.integration.processes import children_of
from tests.support.api import basic
from tests.support.servers import ServerProcess
from tests.support.world import World, seed
from token_service.adapters.crypto.secrets_config import SecretKeys
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.postgres.migrate import migrate
from token_service.app.parts import Parts

METHOD = "/tokenservice.v1.TokenService/Validate"
CONNECTIONS = 32
IN_FLIGHT = 4
"""On each of the connections."""


class Served:
    """A service of so many processes."""

    def __init__(self, world: World, workers: int) -> None:
        self.metrics = f"127.0.0.1:{free_port()}"
        begin = time.monotonic()
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
        self.serving = children_of(pid) if workers > 1 else [pid]
        self.processes = [pid, *self.serving] if workers > 1 else [pid]
        self.start_cpu = self.cpu()

    def cpu(self) -> float:
        """Seconds that all its processes have used."""
        return sum(map(cpu_seconds, self.processes))

    def rss_mib(self) -> float:
        """The resident memory of the largest process that serves."""
        return max(map(_rss_mib, self.serving))


def measure(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, *, quick: bool
) -> dict[str, Any]:
    """The ratios, and the figures behind them."""
    del folder
    rounds, seconds = (3, 1.0) if quick else (9, 3.0)
    world, request = asyncio.run(_prepare(postgres, redis_url))
    rates: dict[int, list[float]] = {1: [], 2: []}
    cpu_us: dict[int, list[float]] = {1: [], 2: []}
    loader_us: list[float] = []
    with ExitStack() as stack:
        services = {workers: Served(world, workers) for workers in (1, 2)}
        for service in services.values():
            stack.callback(service.server.kill)
        time.sleep(1.5)
        idle = {workers: service.rss_mib() for workers, service in services.items()}
        for _ in range(rounds):
            for workers, service in services.items():
                answer, used = _one_round(world, service, request, seconds)
                rates[workers].append(answer["calls"] / answer["seconds"])
                cpu_us[workers].append(1e6 * used / answer["calls"])
                loader_us.append(1e6 * answer["cpu_seconds"] / answer["calls"])
        return {
            "workers_2_vs_1_throughput": median(rates[2]) / median(rates[1]),
            "workers_2_vs_1_cpu": median(cpu_us[2]) / median(cpu_us[1]),
            "workers": {
                "loader_cpu_us_per_call": round(median(loader_us), 1),
                "cpu_us_per_call": {n: round(median(one), 1) for n, one in cpu_us.items()},
                "calls_per_second": {n: round(median(one)) for n, one in rates.items()},
                "start_seconds": {n: round(one.start_seconds, 2) for n, one in services.items()},
                "start_cpu_seconds": {n: round(one.start_cpu, 2) for n, one in services.items()},
                "idle_rss_mib": {n: round(one, 1) for n, one in idle.items()},
                "supervisor_rss_mib": round(_rss_mib(services[2].server.process.pid), 1),
            },
        }


def _one_round(
    world: World, service: Served, request: bytes, seconds: float
) -> tuple[dict[str, Any], float]:
    """What the loader says, and the CPU seconds of the service. Raises RuntimeError when a single
    call did not end OK."""
    job = {
        "address": service.server.address,
        "method": METHOD,
        "authorization": basic("demo-gateway", world.clients["demo-gateway"]),
        "request": request.hex(),
        "connections": CONNECTIONS,
        "in_flight": IN_FLIGHT,
        "seconds": seconds,
    }
    counted, used = ended_ok(service.metrics, METHOD), service.cpu()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.blast"],
        cwd=ROOT,
        input=json.dumps(job) + "\n",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    used = service.cpu() - used
    answer: dict[str, Any] = json.loads(ran.stdout)
    ended = ended_ok(service.metrics, METHOD) - counted
    if answer["failures"] or ended != answer["calls"]:
        raise RuntimeError(f"{ended} of {answer['calls']} calls ended OK: {answer['failures']}")
    return answer, used


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
