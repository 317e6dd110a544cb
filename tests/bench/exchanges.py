"""Exchanges a second through two workers, against pgbench with the same statement at the same
number of clients on the same database, in interleaved rounds.

Also a program: `python -m tests.bench.exchanges [--quick]` measures it alone.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench import pgbench
from tests.bench.jobs import EXCHANGE, Jobs
from tests.bench.processes import median
from tests.bench.requests import IN_FLIGHT, SMALL
from tests.bench.sides import open_side
from tests.bench.stores import alone
from token_service.adapters.embedded import EmbeddedPostgres

WORKERS = 2
CHANNELS = 8
"""So many connections, for the kernel to spread over the workers."""
FIRST = SMALL + 1
"""Those below are exchanged by the service, those from here on by pgbench."""


def measure(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, *, quick: bool
) -> dict[str, Any]:
    """The ratio, and the figures behind it."""
    rounds, calls, seconds, stride = (3, 1_000, 2, 100) if quick else (7, 3_000, 4, 1_000)
    with ExitStack() as stack:
        sessions = SMALL + rounds * stride * IN_FLIGHT
        side = open_side(postgres, redis_url, folder, "exchanges", sessions, workers=WORKERS)
        stack.callback(side.server.kill)
        jobs = Jobs()
        stack.callback(jobs.close)
        for number in range(rounds):
            jobs.change(
                "exchange",
                side,
                EXCHANGE,
                "exchange",
                IN_FLIGHT,
                calls,
                "exchange",
                channels=CHANNELS,
            )
            first = FIRST + number * stride * IN_FLIGHT
            jobs.rates["pgbench"].append(
                pgbench.tps(
                    side.world.dsn,
                    folder,
                    sessions=pgbench.Range(first, stride, IN_FLIGHT),
                    seconds=seconds,
                    mint_kid=side.mint_kid,
                )
            )
    ours, floor = jobs.rates[f"exchange@{IN_FLIGHT}"], jobs.rates["pgbench"]
    return {
        "exchange_vs_pgbench_tps": median(
            [mine / theirs for mine, theirs in zip(ours, floor, strict=True)]
        ),
        "exchanges": {
            "workers": WORKERS,
            "clients": IN_FLIGHT,
            "exchanges_per_second": round(median(ours)),
            "pgbench_tps": round(median(floor)),
        },
    }


if __name__ == "__main__":
    alone(measure)
