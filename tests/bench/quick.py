"""`make bench-quick`: within a minute, whether a change made anything dearer.

Measures the ratios that a minute is enough for and compares them with those in recorded.json; ends
with 1 and a line for each that is worse by more than its margin. A ratio that fails is measured
once more before it counts, in rounds as interleaved as the first ones.

`make bench-quick ARGS=--record` measures ten times, with stores and servers of their own, and
writes recorded.json anew (about five minutes, on a machine that does nothing else).
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench import batch, comparison, filling, redeem, validators
from tests.bench.comparison import Better
from tests.bench.feed_world import FeedSize, FeedWorld
from tests.bench.jobs import EXCHANGE, Jobs
from tests.bench.processes import Echo
from tests.bench.requests import IN_FLIGHT, validate
from tests.bench.sides import Requests, Side, open_side
from tests.bench.stores import note, stores
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.app.parts import Parts
from tokenservice.core import Facts

RATIOS = {
    "validate_warm_vs_echo_cpu": Better.LOWER,
    "validate_cold_vs_echo_cpu": Better.LOWER,
    "validate_opaque_vs_echo_cpu": Better.LOWER,
    "exchange_vs_echo_cpu": Better.LOWER,
    "redeem_vs_echo_cpu": Better.LOWER,
    "local_cold_vs_raw_verify": Better.LOWER,
    "remote_vs_local_cpu": Better.HIGHER,
    "coalesced_vs_unary_throughput": Better.HIGHER,
}
ROUNDS = 5
VALIDATIONS = 800
EXCHANGES = 400
SESSIONS = 1_000
LOCAL = replace(
    validators.QUICK, rounds=ROUNDS, warm=10_000, cold=300, asked=800, cached=1_000, forged=1_000
)
NOTHING_REVOKED = FeedSize(rounds=0, bursts=0, idle=0, idle_seconds=0.0, entries=0)


class Quick:
    """The stores and servers of a run; measures as often as it is asked."""

    def __init__(
        self, postgres: EmbeddedPostgres, redis_url: str, folder: Path, stack: ExitStack
    ) -> None:
        self.postgres, self.redis_url, self.folder = postgres, redis_url, folder
        self.side = open_side(postgres, redis_url, folder, "quick", SESSIONS, _requests)
        stack.callback(self.side.server.kill)
        self.coupons = redeem.coupons(self.side.world, self.side.server, folder)
        self.echo = Echo(**self.side.reply_sizes(), redeem=self.coupons.reply_size)
        stack.callback(self.echo.close)
        self._runs = 0

    def measure(self) -> dict[str, float]:
        """All ratios, each from the medians of interleaved rounds."""
        with ExitStack() as stack:
            jobs = Jobs()
            stack.callback(jobs.close)
            for number in range(ROUNDS):
                self._one_round(jobs, self.side, number)
        floor = jobs.cpu("echo_validate")
        local, many = self._local(), self._batches()
        self._runs += 1
        return {
            "validate_warm_vs_echo_cpu": jobs.cpu("warm") / floor,
            "validate_cold_vs_echo_cpu": jobs.cpu("cold") / floor,
            "validate_opaque_vs_echo_cpu": jobs.cpu("opaque") / floor,
            "exchange_vs_echo_cpu": jobs.cpu("exchange") / jobs.cpu("echo_exchange"),
            "redeem_vs_echo_cpu": jobs.cpu("redeem") / jobs.cpu("echo_redeem"),
            **{name: value for name, value in (local | many).items() if name in RATIOS},
        }

    def _one_round(self, jobs: Jobs, side: Side, number: int) -> None:
        cold = f"cold{self._runs}-{number}"
        jobs.validate("warm", side, "warm", IN_FLIGHT, VALIDATIONS)
        jobs.validate("opaque", side, "opaque", IN_FLIGHT, VALIDATIONS)
        jobs.validate("cold", side, cold, IN_FLIGHT, VALIDATIONS, "cold")
        jobs.echo("validate", self.echo, side, IN_FLIGHT, VALIDATIONS)
        jobs.change("exchange", side, EXCHANGE, "exchange", IN_FLIGHT, EXCHANGES, "exchange")
        jobs.echo("exchange", self.echo, side, IN_FLIGHT, EXCHANGES)
        redemptions = self._runs * ROUNDS + number
        self.coupons.one_round(jobs.measure, self.echo, IN_FLIGHT, EXCHANGES, redemptions)

    def _local(self) -> dict[str, float]:
        """A validator in its own process, which asks this server."""
        world = FeedWorld(self.side.world, self.folder / f"local{self._runs}.none")
        asyncio.run(validators.write_tokens(world, NOTHING_REVOKED, LOCAL))
        return validators.local(world, self.side.server, LOCAL)

    def _batches(self) -> dict[str, Any]:
        return batch.measure(
            self.postgres, self.redis_url, self.folder, quick=True, database=f"batch{self._runs}"
        )


def _requests(parts: Parts, facts: Facts) -> Requests:
    """Tokens that are new in each round, and again where all is measured once more."""
    return {
        f"cold{run}-{number}": [
            validate(token) for token in filling.fresh_jwts(parts, facts, VALIDATIONS)
        ]
        for run in range(2)
        for number in range(ROUNDS)
    }


def check() -> int:
    """Compare a run with what is recorded; the exit code."""
    recorded = comparison.read()
    with stores() as (postgres, redis_url, folder), ExitStack() as stack:
        quick = Quick(postgres, redis_url, folder, stack)
        measured = quick.measure()
        failed = comparison.regressions(recorded, measured)
        if failed:
            note(f"measuring once more: {', '.join(failed)}")
            again = quick.measure()
            failed = {
                name: line
                for name, line in comparison.regressions(recorded, again).items()
                if name in failed
            }
    for name, was in recorded.items():
        value = measured.get(name, float("nan"))
        sys.stdout.write(f"{name:<34}{value:>9.3f}   recorded {was.ratio:.3f}\n")
    for line in failed.values():
        sys.stdout.write(f"REGRESSION {line}\n")
    return 1 if failed else 0


def record() -> None:
    """Write recorded.json anew."""
    values: dict[str, list[float]] = defaultdict(list)
    for number in range(comparison.LEAST_RUNS):
        note(f"run {number + 1} of {comparison.LEAST_RUNS}")
        with stores() as (postgres, redis_url, folder), ExitStack() as stack:
            measured = Quick(postgres, redis_url, folder, stack).measure()
        for name in RATIOS:
            values[name].append(measured[name])
            sys.stderr.write(f"  {name:<34}{measured[name]:>9.3f}\n")
    comparison.write(
        {name: comparison.to_record(values[name], better) for name, better in RATIOS.items()}
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--record", action="store_true", help="record the ratios of ten runs")
    if parser.parse_args().record:
        record()
    else:
        sys.exit(check())


if __name__ == "__main__":
    main()
