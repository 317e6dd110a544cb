"""Whether a long trust log, or many streams that follow it, make validation dearer: CPU of the
server for a warm Validate, with so many live entries and with so many idle watchers.

Also a program: `python -m tests.bench.trust_size [--quick]` measures it alone. What the watchers
cost by themselves (their heartbeats) falls on the calls that are made meanwhile.
"""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.feed_processes import Worker
from tests.bench.idle_watchers import append
from tests.bench.jobs import Jobs
from tests.bench.requests import IN_FLIGHT
from tests.bench.sides import Side, open_side
from tests.bench.stores import alone, note
from tests.bench.watchers import WATCH
from token_service.adapters.embedded import EmbeddedPostgres

STREAMS = 1_000
FULL = ((0, 1_000, 10_000, 100_000), 10, 1_500)
QUICK = ((0, 10_000), 3, 500)
"""Numbers of entries, rounds, and calls in each."""
SESSIONS = 300


def measure(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, *, quick: bool
) -> dict[str, Any]:
    """The ratios to a server with no entries and no streams."""
    numbers, rounds, calls = QUICK if quick else FULL
    with ExitStack() as stack:
        watchers, jobs = Worker(), Jobs()
        stack.callback(watchers.close)
        stack.callback(jobs.close)
        sides: dict[str, Side] = {}
        for name in (*(f"entries_{number}" for number in numbers), "streams"):
            sides[name] = open_side(postgres, redis_url, folder, name, SESSIONS)
            stack.callback(sides[name].server.kill)
        note("trust entries and streams")
        for number in filter(None, numbers):
            side = sides[f"entries_{number}"]
            _wait_for(watchers, side, asyncio.run(append(side.world.dsn, number)))
        _watch(watchers, sides["streams"], STREAMS)
        for side in sides.values():
            jobs.validate("warm-up", side, "warm", IN_FLIGHT, calls // 4)
        for number in range(rounds):
            names = list(sides)  # each comes first, second and so on equally often
            for name in names[number % len(names) :] + names[: number % len(names)]:
                jobs.validate(name, sides[name], "warm", IN_FLIGHT, calls)
        watchers.run("close", group=WATCH)
    none, most = jobs.cpu(f"entries_{numbers[0]}"), max(numbers)
    return {
        f"trust_entries_1e{len(str(most)) - 1}_validate_ratio": jobs.cpu(f"entries_{most}") / none,
        f"streams_{STREAMS}_validate_ratio": jobs.cpu("streams") / none,
        "by_trust_entries": {
            str(number): {"validate_cpu_us": round(jobs.cpu(f"entries_{number}"), 1)}
            for number in numbers
        },
    }


def _watch(watchers: Worker, side: Side, count: int) -> None:
    """Open that many streams, each on a connection of its own."""
    watchers.run(
        "open",
        group=WATCH,
        count=count,
        connections=count,
        address=side.server.address,
        method=WATCH,
        authorization=side.as_client("demo-gateway"),
    )


def _wait_for(watchers: Worker, side: Side, revision: int) -> None:
    """Until the server knows of it, and tells. Raises RuntimeError when it never does."""
    _watch(watchers, side, 1)
    (heard,) = watchers.run("collect", group=WATCH, revision=revision)["heard"]
    watchers.run("close", group=WATCH)
    if heard[-1][0] < revision:
        raise RuntimeError(f"the server does not know of revision {revision}")


if __name__ == "__main__":
    alone(measure)
