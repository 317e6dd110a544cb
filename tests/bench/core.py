"""What calls cost the server, against a bare echo, and with a million sessions against a thousand.

Also a program: `python -m tests.bench.core [--quick]` measures it alone.
"""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench import h2load, redeem
from tests.bench.jobs import EXCHANGE, REVOKE, VALIDATE, Jobs
from tests.bench.processes import Echo, median
from tests.bench.requests import (
    IN_FLIGHT,
    REVOCATIONS,
    SMALL,
    Size,
    cold_requests,
    revocations,
)
from tests.bench.sides import Requests, Side, open_side
from tests.bench.stores import alone, note
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.app.parts import Parts
from tokenservice.core import Facts

FULL = Size(rounds=7, calls=4_000, exchanges=2_000, sessions=1_000_000)
QUICK = Size(rounds=2, calls=1_000, exchanges=400, sessions=20_000)


def measure(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, *, quick: bool
) -> dict[str, Any]:
    """Set everything up, measure in interleaved rounds, work the ratios out."""
    size = QUICK if quick else FULL

    def requests(parts: Parts, facts: Facts) -> Requests:
        return cold_requests(size, parts, facts) | revocations(size, parts)

    with ExitStack() as stack:
        note("filling")
        small = open_side(postgres, redis_url, folder, "small", SMALL, requests)
        stack.callback(small.server.kill)
        large = open_side(postgres, redis_url, folder, "large", size.sessions, requests)
        stack.callback(large.server.kill)
        coupons = redeem.coupons(small.world, small.server, folder)
        echo = Echo(**small.reply_sizes(), redeem=coupons.reply_size)
        stack.callback(echo.close)
        jobs = Jobs()
        stack.callback(jobs.close)
        for number in range(size.rounds):
            note(f"calls, round {number + 1} of {size.rounds}")
            for concurrency in (IN_FLIGHT, 1):
                _validations(jobs, size, small, large, echo, number, concurrency)
            for name, side in (("small", small), ("large", large)):
                _changes(jobs, size, side, name, number)
            for concurrency in (IN_FLIGHT, 1):
                calls = _fewer(size.exchanges, concurrency)
                jobs.echo("exchange", echo, small, concurrency, calls)
            _tools(jobs, small, folder)
            for concurrency in (IN_FLIGHT, 1):
                calls = _fewer(size.exchanges, concurrency)
                coupons.one_round(jobs.measure, echo, concurrency, calls, number)
        return _results(jobs, size)


def _fewer(calls: int, concurrency: int) -> int:
    return calls // (1 if concurrency > 1 else 8)


def _validations(
    jobs: Jobs, size: Size, small: Side, large: Side, echo: Echo, number: int, concurrency: int
) -> None:
    calls = _fewer(size.calls, concurrency)
    jobs.validate("warm_small", small, "warm", concurrency, calls)
    jobs.validate("opaque_small", small, "opaque", concurrency, calls)
    jobs.validate("cold_small", small, f"cold{number}@{concurrency}", concurrency, calls, "cold")
    jobs.validate("warm_large", large, "warm", concurrency, calls)
    jobs.echo("validate", echo, small, concurrency, calls)


def _changes(jobs: Jobs, size: Size, side: Side, name: str, number: int) -> None:
    for concurrency in (IN_FLIGHT, 1):
        calls = _fewer(size.exchanges, concurrency)
        jobs.change(f"exchange_{name}", side, EXCHANGE, "exchange", concurrency, calls, "exchange")
    jobs.change(f"revoke_{name}", side, REVOKE, f"revoke{number}", 16, REVOCATIONS, "cold")


def _tools(jobs: Jobs, small: Side, folder: Path) -> None:
    """Another's load generator."""
    if h2load.available():
        jobs.rates["h2load"].append(
            h2load.calls_per_second(
                small.server.address,
                VALIDATE,
                bytes.fromhex(small.requests["warm"].read_text()),
                small.as_client("demo-gateway"),
                small.metrics,
                folder,
            )
        )


def _results(jobs: Jobs, size: Size) -> dict[str, Any]:
    """The ratios that matter, and the figures behind them."""
    floor, exchange_floor = jobs.cpu("echo_validate"), jobs.cpu("echo_exchange")
    return {
        "validate_warm_vs_echo_cpu": jobs.cpu("warm_small") / floor,
        "validate_cold_vs_echo_cpu": jobs.cpu("cold_small") / floor,
        "validate_opaque_vs_echo_cpu": jobs.cpu("opaque_small") / floor,
        "exchange_vs_echo_cpu": jobs.cpu("exchange_small") / exchange_floor,
        "redeem_vs_echo_cpu": jobs.cpu("redeem") / jobs.cpu("echo_redeem"),
        "sessions_1e6_validate_ratio": jobs.cpu("warm_large") / jobs.cpu("warm_small"),
        "sessions_1e6_exchange_ratio": jobs.cpu("exchange_large") / jobs.cpu("exchange_small"),
        "sessions_1e6_revoke_ratio": jobs.cpu("revoke_large", 16) / jobs.cpu("revoke_small", 16),
        "measured": jobs.figures(),
        "h2load_validate_per_second": (
            round(median(jobs.rates["h2load"])) if jobs.rates["h2load"] else None
        ),
        "sessions": size.sessions,
        "rounds": size.rounds,
    }


if __name__ == "__main__":
    alone(measure)
