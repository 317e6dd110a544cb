"""Exchanges a second where each commit waits for one of two standbys on the same machine, against
the same server without standbys, in interleaved rounds.

Also a program: `python -m tests.bench.synchronous [--quick]` measures it alone. Standbys elsewhere
take no CPU from the primary, and cost a round trip of the network instead.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.jobs import EXCHANGE, Jobs
from tests.bench.processes import median
from tests.bench.requests import IN_FLIGHT, SMALL
from tests.bench.sides import Side, open_side
from tests.bench.stores import alone
from tests.support.postgres_cluster import PostgresCluster
from token_service.adapters.embedded import EmbeddedPostgres

STANDBYS = {"synchronous": 2, "alone": 0}


def measure(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, *, quick: bool
) -> dict[str, Any]:
    """The ratio, and the figures behind it."""
    del postgres
    rounds, calls = (5, 1_000) if quick else (9, 3_000)
    jobs = Jobs()
    with ExitStack() as stack:
        stack.callback(jobs.close)
        template = folder / "synchronous-template"
        with EmbeddedPostgres(template):
            pass
        sides: dict[str, Side] = {}
        for name, standbys in STANDBYS.items():
            cluster = stack.enter_context(
                PostgresCluster(
                    folder / name, template, standbys=standbys, synchronous=standbys > 0
                )
            )
            side = open_side(cluster.primary, redis_url, folder, name, SMALL)
            sides[name] = side
            stack.callback(side.server.kill)
        for _ in range(rounds):
            for name, side in sides.items():
                jobs.change(name, side, EXCHANGE, "exchange", IN_FLIGHT, calls, "exchange")
    rates = {name: jobs.rates[f"{name}@{IN_FLIGHT}"] for name in STANDBYS}
    pairs = zip(rates["synchronous"], rates["alone"], strict=True)
    return {
        "exchange_synchronous_vs_alone": median([one / other for one, other in pairs]),
        "synchronous": jobs.figures(),
    }


if __name__ == "__main__":
    alone(measure)
