"""Whether a storm of logins slows validation down: the p99 of a paced load of Validate with five
hundred people logging in by password all the time, against the same load without them.

Also a program: `python -m tests.bench.storm [--quick]` measures it alone.

The load is open: calls are due at random moments of a fixed rate, and a latency counts from when
the call was due, so that a server that stalls cannot hide it by holding the load up. The people
are at nice 10: they would use no core of the server's.

A third arm has the same storm at another server on the same machine. What p99 it moves is the
machine's doing: processors that people, hashing and PostgreSQL use.
"""

import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.feed_processes import Worker
from tests.bench.jobs import VALIDATE
from tests.bench.processes import Loader, cpu_seconds, median
from tests.bench.requests import write_down
from tests.bench.sides import Side, open_side
from tests.bench.stores import alone, note
from tests.support.servers import ServerProcess
from token_service.adapters.embedded import EmbeddedPostgres
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

PEOPLE = 500
RATE = 400
"""Calls of Validate a second."""
SETTLING = 3.0
"""Seconds between the first login and the first call, and after the last login."""


def measure(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, *, quick: bool
) -> dict[str, Any]:
    """The ratio, and what was served meanwhile."""
    rounds, seconds = (3, 3.0) if quick else (7, 4.0)
    side = open_side(postgres, redis_url, folder, "storm", 1_000, owners=PEOPLE)
    with ExitStack() as stack:
        stack.callback(side.server.kill)
        other = ServerProcess(
            {k: v for k, v in side.environment.items() if k != "TOKEN_SERVICE_METRICS_LISTEN"}
        )
        stack.callback(other.kill)
        loader = Loader()
        stack.callback(loader.close)
        here, elsewhere = (_people(stack, side, it, folder) for it in (side.server, other))
        figures: dict[str, list[float]] = defaultdict(list)
        _paced(loader, side, 1.0)
        for number in range(rounds):
            note(f"logins, round {number + 1} of {rounds}")
            quiet = _paced(loader, side, seconds)
            busy = _stormy(here, loader, side, seconds)
            control = _stormy(elsewhere, loader, side, seconds)
            for name, arm in (("quiet", quiet), ("busy", busy), ("elsewhere", control)):
                for key, value in arm.items():
                    figures[f"{name}_{key}"].append(value)
            figures["ratio"].append(busy["p99_ms"] / quiet["p99_ms"])
            figures["control"].append(control["p99_ms"] / quiet["p99_ms"])
    medians = {name: median(values) for name, values in figures.items()}
    return {
        "login_storm_validate_p99_ratio": medians.pop("ratio"),
        "login_storm_validate_p50_ratio": medians["busy_p50_ms"] / medians["quiet_p50_ms"],
        "login_storm_elsewhere_validate_p99_ratio": medians.pop("control"),
        "login_storm": {
            "people": PEOPLE,
            "validate_per_second": RATE,
            **{name: round(value, 3) for name, value in medians.items()},
            "p99_ratios": [round(ratio, 3) for ratio in figures["ratio"]],
        },
    }


def _people(stack: ExitStack, side: Side, server: ServerProcess, folder: Path) -> Worker:
    people = Worker("tests.bench.logins")
    stack.callback(people.close)
    people.run(
        "open",
        address=server.address,
        authorization=side.as_client("demo-web"),
        requests=str(_logins(side, folder)),
    )
    return people


def _paced(loader: Loader, side: Side, seconds: float) -> dict[str, float]:
    begin, used = time.monotonic(), cpu_seconds(side.pid)
    answer = loader.run(
        kind="paced",
        rate=RATE,
        count=int(RATE * seconds),
        concurrency=1,
        method=VALIDATE,
        address=side.server.address,
        authorization=side.as_client("demo-gateway"),
        requests=str(side.requests["warm"]),
    )
    used = (cpu_seconds(side.pid) - used) / (time.monotonic() - begin)
    return {"p50_ms": answer["p50_ms"], "p99_ms": answer["p99_ms"], "server_cores": used}


def _stormy(people: Worker, loader: Loader, side: Side, seconds: float) -> dict[str, float]:
    """Raises RuntimeError when anybody got another answer than tokens or "come back later"."""
    people.run("start")
    time.sleep(SETTLING)
    arm = _paced(loader, side, seconds)
    counts = people.run("stop")
    time.sleep(SETTLING)
    if counts.pop("in_flight") != PEOPLE or not counts["served_per_second"]:
        raise RuntimeError("the storm of logins died down")
    del counts["problems"]
    return arm | {f"logins_{name}": value for name, value in counts.items()}


def _logins(side: Side, folder: Path) -> Path:
    """One request each."""
    logins = [
        pb.IssueRequest(
            password=pb.PasswordCredential(
                username=f"owner-{number}", password=side.world.password
            ),
            platform=types.PLATFORM_WEB,
            audiences=["orders"],
        ).SerializeToString()
        for number in range(1, PEOPLE + 1)
    ]
    return write_down(folder, "storm", {"logins": logins})["logins"]


if __name__ == "__main__":
    alone(measure)
