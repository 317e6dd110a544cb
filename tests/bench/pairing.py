"""`python -m tests.bench.pairing`: how soon an approval becomes tokens across two nodes, and what
an open watch costs. Results go to build/bench-pairing.json.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.processes import ROOT
from tests.bench.stores import stores
from tests.support.callers import Callers
from tests.support.devices import Pair, start_map
from tests.support.servers import ServerProcess
from tests.support.world import World, seed
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.postgres.migrate import migrate
from tokenservice.v1 import types_pb2 as types

PAIRINGS = 200
WATCHES = 5_000
CHANNELS = 10
AT_ONCE = 50
PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_kb(pid: int) -> float:
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 1024


async def latency(one: Callers, two: Callers) -> list[float]:
    """Milliseconds from each acknowledged approval, on one node, to the tokens of a PC that
    watches on the other; all pairings are open at the same time."""
    person = await one.new_person()
    phone = (await one.log_in(person, "mobile")).session_token
    pairs = [await start_map(two) for _ in range(PAIRINGS)]
    approved: dict[str, float] = {}
    taken: list[float] = []
    scanned = asyncio.Semaphore(0)

    async def pc(pair: Pair) -> None:
        async for message in pair.watch():
            if message.state == types.PAIRING_STATE_SCANNED:
                numbers[pair.pairing_id] = message.check_number
                scanned.release()
            elif message.state == types.PAIRING_STATE_APPROVED:
                await pair.collect(os.urandom(16))
                taken.append(1e3 * (time.perf_counter() - approved[pair.pairing_id]))
                return

    numbers: dict[str, str] = {}
    watching = [asyncio.create_task(pc(pair)) for pair in pairs]
    for pair in pairs:
        pair.phone = one.client("mobile")
        await pair.scanned(session_token=phone)
        await scanned.acquire()
    for pair in pairs:
        # The PC may be quicker than the acknowledgement: then it took no time.
        approved[pair.pairing_id] = float("inf")
        await pair.approve(phone, numbers[pair.pairing_id])
        approved[pair.pairing_id] = time.perf_counter()
        await asyncio.sleep(0.005)
    await asyncio.gather(*watching)
    return [max(0.0, one) for one in taken]


async def floor(one: Callers) -> list[float]:
    """Milliseconds of two exchanges after one another: two calls with a durable commit each, on a
    machine that is as busy as it is."""
    person = await one.new_person()
    token = (await one.log_in(person)).session_token
    taken = []
    for _ in range(PAIRINGS):
        began = time.perf_counter()
        for _ in range(2):
            token = (await one.web.exchange(token)).tokens.session_token
        taken.append(1e3 * (time.perf_counter() - began))
        await asyncio.sleep(0.005)
    return taken


def p99(values: list[float]) -> float:
    """The value that one in a hundred exceeds."""
    return round(sorted(values)[len(values) * 99 // 100 - 1], 2)


async def watch_cost(world: World, server: ServerProcess, count: int) -> float:
    """Kilobytes per open watch of one process."""
    apis = [world.api(server.address, "demo-web") for _ in range(CHANNELS)]
    async with Callers(world, server.address) as callers:
        pairs = []
        for _ in range(count // AT_ONCE):
            pairs += await asyncio.gather(*(start_map(callers) for _ in range(AT_ONCE)))
        before = resident_kb(server.process.pid)
        streams: list[Any] = []
        for place in range(0, count, AT_ONCE):
            opened = [
                pair.watch(apis[(place + number) % CHANNELS])
                for number, pair in enumerate(pairs[place : place + AT_ONCE])
            ]
            await asyncio.gather(*(stream.read() for stream in opened))
            streams += opened
        used = resident_kb(server.process.pid) - before
        for stream in streams:
            stream.cancel()
    for api in apis:
        await api.channel.close()
    return used / count


async def measure(dsn: str, redis_url: str, watches: int) -> dict[str, Any]:
    """Both figures."""
    world = await seed(World(dsn, redis_url, SecretKeys.generate_text(), {}, "", ""))
    environment = world.environment(
        allow_unsafe_durability="false", rate_scale="1000", max_pairing_watches=str(2 * watches)
    )
    with ExitStack() as stack:
        servers = [ServerProcess(environment) for _ in range(2)]
        for server in servers:
            stack.callback(server.kill)
        one, two = (Callers(world, server.address) for server in servers)
        async with one, two:
            taken = await latency(one, two)
            least = await floor(one)
        cost = await watch_cost(world, servers[0], watches)
    return {
        "pairing_approve_p50_ms": round(statistics.median(taken), 2),
        "pairing_approve_p99_ms": p99(taken),
        "two_exchanges_p50_ms": round(statistics.median(least), 2),
        "two_exchanges_p99_ms": p99(least),
        "pairing_watch_kb": round(cost, 1),
        "pairings": len(taken),
        "watches": watches,
    }


def main() -> None:
    """Run it on durable stores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watches", type=int, default=WATCHES)
    watches = parser.parse_args().watches
    with stores() as (postgres, redis_url, _):
        dsn = postgres.create_database("pairing")
        migrate(dsn)
        results = asyncio.run(measure(dsn, redis_url, watches))
    path = ROOT / "build" / "bench-pairing.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    sys.stdout.write("".join(f"{key:<26}{value}\n" for key, value in results.items()))


if __name__ == "__main__":
    main()
