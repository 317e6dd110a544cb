"""Latency by load: Validate and Exchange with one to 128 calls in flight, beside a bare echo.

Also a program: `python -m tests.bench.curve [--quick]` measures it alone.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.jobs import EXCHANGE, Jobs
from tests.bench.processes import Echo
from tests.bench.sides import Side, open_side
from tests.bench.stores import alone, note
from token_service.adapters.embedded import EmbeddedPostgres

LEVELS = (1, 2, 4, 8, 16, 32, 64, 128)
KINDS = ("validate", "exchange", "echo_validate", "echo_exchange")
FULL = (3, 600, 300)
QUICK = (1, 150, 100)
"""Rounds, and calls of Validate and of Exchange in each at one in flight."""


def measure(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, *, quick: bool
) -> dict[str, Any]:
    """Medians over the rounds, by kind of call and calls in flight."""
    rounds, validations, exchanges = QUICK if quick else FULL
    with ExitStack() as stack:
        side = open_side(postgres, redis_url, folder, "curve", 1_000)
        stack.callback(side.server.kill)
        echo, jobs = Echo(**side.reply_sizes()), Jobs()
        stack.callback(echo.close)
        stack.callback(jobs.close)
        for number in range(rounds):
            note(f"latency by load, round {number + 1} of {rounds}")
            for level in LEVELS:
                # More calls where they take longer: each is one of a hundred at least.
                more = max(1, level // 16)
                _one_level(jobs, side, echo, level, validations * more, exchanges * more)
    figures = jobs.figures()
    return {
        "by_load": {
            kind: {str(level): figures[f"{kind}@{level}"] for level in LEVELS} for kind in KINDS
        }
    }


def _one_level(
    jobs: Jobs, side: Side, echo: Echo, level: int, validations: int, exchanges: int
) -> None:
    jobs.validate("validate", side, "warm", level, validations)
    jobs.echo("validate", echo, side, level, validations)
    jobs.change("exchange", side, EXCHANGE, "exchange", level, exchanges, "exchange")
    jobs.echo("exchange", echo, side, level, exchanges)


if __name__ == "__main__":
    alone(measure)
