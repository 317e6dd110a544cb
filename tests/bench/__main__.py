"""`make bench`: what the service costs, as ratios against floors measured in the same run.

Rounds are interleaved and medians taken, because the machines are shared: only the ratios mean
anything. Results go to build/bench.json.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import feed, filling, h2load, pgbench, redeem, workers
from tests.bench.processes import ROOT, Echo, Loader, cpu_seconds, free_port, median
from tests.bench.requests import (
    CHAINS,
    IN_FLIGHT,
    REVOCATIONS,
    SMALL,
    Size,
    cold_requests,
    revocations,
    validate,
    write_down,
)
from tests.support.api import basic
from tests.support.servers import ServerProcess
from tests.support.world import World, seed
from token_service.adapters.crypto.secrets_config import SecretKeys
from token_service.adapters.embedded import EmbeddedPostgres, EmbeddedValkey
from token_service.adapters.postgres.migrate import migrate
from token_service.app.parts import Parts
from tokenservice.core import parse_jwt
from tokenservice.v1 import token_service_pb2 as pb

VALIDATE = "/tokenservice.v1.TokenService/Validate"
EXCHANGE = "/tokenservice.v1.TokenService/Exchange"
REVOKE = "/tokenservice.v1.TokenService/Revoke"
PGBENCH_CLIENTS = 10
FULL = Size(rounds=7, calls=4_000, exchanges=2_000, pgbench_seconds=4, sessions=1_000_000)
QUICK = Size(rounds=2, calls=1_000, exchanges=400, pgbench_seconds=2, sessions=20_000)


@dataclass(frozen=True, slots=True)
class Side:
    """A server with its database and the requests made for it."""

    world: World
    server: ServerProcess
    requests: dict[str, Path]
    mint_kid: str
    metrics: str

    def as_client(self, client_id: str) -> str:
        """The authorization header of one of the demo clients."""
        return basic(client_id, self.world.clients[client_id])

    @property
    def pid(self) -> int:
        """The process whose CPU time counts."""
        return self.server.process.pid


class Bench:
    """All that runs at the same time, and what was measured."""

    def __init__(self, size: Size, folder: Path, stack: ExitStack) -> None:
        self.size = size
        self.folder = folder
        self.stack = stack
        self.loader = Loader()
        stack.callback(self.loader.close)
        self.cpu_us: dict[str, list[float]] = defaultdict(list)
        self.latency: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.rates: dict[str, list[float]] = defaultdict(list)

    def measure(self, name: str, pid: int, concurrency: int, **job: Any) -> None:
        """One job of one round: CPU per call of the process, and the latencies."""
        before = cpu_seconds(pid)
        answer = self.loader.run(concurrency=concurrency, **job)
        used = cpu_seconds(pid) - before
        if answer["calls"] != job["count"]:
            raise RuntimeError(f"{name}: {answer['calls']} of {job['count']} calls were answered")
        key = f"{name}@{concurrency}"
        self.cpu_us[key].append(1e6 * used / answer["calls"])
        self.latency[key].append(answer)
        self.rates[key].append(answer["calls"] / answer["seconds"])

    def cpu(self, name: str, concurrency: int = IN_FLIGHT) -> float:
        """Median CPU per call in microseconds."""
        return median(self.cpu_us[f"{name}@{concurrency}"])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller and shorter")
    size = QUICK if parser.parse_args().quick else FULL
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="token-bench-")))
        folder.chmod(0o711)
        bench = Bench(size, folder, stack)
        results = run(bench)
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")
    sys.stdout.write(report(results) + f"\nwritten to {path}\n")


def run(bench: Bench) -> dict[str, Any]:
    """Set everything up, measure in interleaved rounds, work the ratios out."""
    with stores(bench.folder) as (postgres, valkey):
        small = side(bench, postgres, valkey.url, "small", SMALL)
        large = side(bench, postgres, valkey.url, "large", bench.size.sessions)
        sizes = reply_sizes(small)
        coupons = redeem.coupons(small.world, small.server, bench.folder)
        echo = Echo(**sizes, redeem=coupons.reply_size)
        bench.stack.callback(echo.close)
        for number in range(bench.size.rounds):
            sys.stderr.write(f"round {number + 1} of {bench.size.rounds}\n")
            one_round(bench, small, large, echo, number)
            for concurrency in (IN_FLIGHT, 1):
                calls = bench.size.exchanges // (1 if concurrency > 1 else 8)
                coupons.one_round(bench.measure, echo, concurrency, calls, number)
        quick = bench.size is QUICK
        return (
            ratios(bench)
            | feed.measure(postgres, valkey.url, bench.folder, quick=quick)
            | workers.measure(postgres, valkey.url, quick=quick)
        )


def one_round(bench: Bench, small: Side, large: Side, echo: Echo, number: int) -> None:
    """Each measurement once; the floors among them."""
    for concurrency, calls in ((IN_FLIGHT, bench.size.calls), (1, bench.size.calls // 8)):
        for name, side_, kind in (
            ("warm", small, "warm"),
            ("opaque", small, "warm"),
            (f"cold{number}@{concurrency}", small, "cold"),
            ("warm", large, "warm"),
        ):
            label = "cold" if kind == "cold" else name
            bench.measure(
                f"{label}_{'large' if side_ is large else 'small'}",
                side_.pid,
                concurrency,
                kind=kind,
                count=calls,
                method=VALIDATE,
                address=side_.server.address,
                authorization=side_.as_client("demo-gateway"),
                requests=str(side_.requests[name]),
            )
        bench.measure(
            "echo_validate",
            echo.pid,
            concurrency,
            kind="warm",
            count=calls,
            method="/echo/validate",
            address=echo.address,
            authorization=small.as_client("demo-gateway"),
            requests=str(small.requests["warm"]),
        )
    for side_, name in ((small, "small"), (large, "large")):
        for concurrency in (IN_FLIGHT, 1):
            bench.measure(
                f"exchange_{name}",
                side_.pid,
                concurrency,
                kind="exchange",
                count=bench.size.exchanges // (1 if concurrency > 1 else 8),
                method=EXCHANGE,
                address=side_.server.address,
                authorization=side_.as_client("demo-web"),
                requests=str(side_.requests["exchange"]),
            )
        bench.measure(
            f"revoke_{name}",
            side_.pid,
            16,
            kind="cold",
            count=REVOCATIONS,
            method=REVOKE,
            address=side_.server.address,
            authorization=side_.as_client("demo-web"),
            requests=str(side_.requests[f"revoke{number}"]),
        )
    for concurrency in (IN_FLIGHT, 1):
        bench.measure(
            "echo_exchange",
            echo.pid,
            concurrency,
            kind="warm",
            count=bench.size.exchanges // (1 if concurrency > 1 else 8),
            method="/echo/exchange",
            address=echo.address,
            authorization=small.as_client("demo-web"),
            requests=str(small.requests["exchange"]),
        )
    if h2load.available():
        bench.rates["h2load"].append(
            h2load.calls_per_second(
                small.server.address,
                VALIDATE,
                bytes.fromhex(small.requests["warm"].read_text()),
                small.as_client("demo-gateway"),
                small.metrics,
                bench.folder,
            )
        )
    stride = (bench.size.sessions - SMALL) // (bench.size.rounds * PGBENCH_CLIENTS)
    bench.rates["pgbench"].append(
        pgbench.tps(
            large.world.dsn,
            bench.folder,
            sessions=pgbench.Range(
                SMALL + 1 + number * stride * PGBENCH_CLIENTS, stride, PGBENCH_CLIENTS
            ),
            seconds=bench.size.pgbench_seconds,
            mint_kid=large.mint_kid,
        )
    )


def ratios(bench: Bench) -> dict[str, Any]:
    """The ratios that matter, and the figures behind them."""
    floor, exchange_floor = bench.cpu("echo_validate"), bench.cpu("echo_exchange")
    exchanges = median(bench.rates[f"exchange_large@{IN_FLIGHT}"])
    return {
        "validate_warm_vs_echo_cpu": bench.cpu("warm_small") / floor,
        "validate_cold_vs_echo_cpu": bench.cpu("cold_small") / floor,
        "validate_opaque_vs_echo_cpu": bench.cpu("opaque_small") / floor,
        "exchange_vs_echo_cpu": bench.cpu("exchange_small") / exchange_floor,
        "redeem_vs_echo_cpu": bench.cpu("redeem") / bench.cpu("echo_redeem"),
        "exchange_vs_pgbench_tps": exchanges / median(bench.rates["pgbench"]),
        "sessions_1e6_validate_ratio": bench.cpu("warm_large") / bench.cpu("warm_small"),
        "sessions_1e6_exchange_ratio": bench.cpu("exchange_large") / bench.cpu("exchange_small"),
        "sessions_1e6_revoke_ratio": bench.cpu("revoke_large", 16) / bench.cpu("revoke_small", 16),
        "measured": {
            key: {
                "cpu_us_per_call": round(median(values), 1),
                "calls_per_second": round(median(bench.rates[key])),
                "p50_ms": round(median([one["p50_ms"] for one in bench.latency[key]]), 3),
                "p99_ms": round(median([one["p99_ms"] for one in bench.latency[key]]), 3),
            }
            for key, values in sorted(bench.cpu_us.items())
        },
        "h2load_validate_per_second": (
            round(median(bench.rates["h2load"])) if bench.rates["h2load"] else None
        ),
        "pgbench_tps": round(median(bench.rates["pgbench"])),
        "sessions": bench.size.sessions,
        "rounds": bench.size.rounds,
    }


def report(results: dict[str, Any]) -> str:
    """The results as a table."""
    lines = [f"{'ratio':<34}{'value':>8}"]
    lines += [f"{k:<34}{v:>8.3f}" for k, v in results.items() if isinstance(v, float)]
    lines.append(f"\n{'':<24}{'CPU µs':>9}{'calls/s':>9}{'p50 ms':>9}{'p99 ms':>9}")
    lines += [
        f"{key:<24}{one['cpu_us_per_call']:>9}{one['calls_per_second']:>9}"
        f"{one['p50_ms']:>9}{one['p99_ms']:>9}"
        for key, one in results["measured"].items()
    ]
    lines.append(f"{'pgbench':<24}{'':>9}{results['pgbench_tps']:>9}")
    if results["h2load_validate_per_second"] is not None:
        lines.append(f"{'h2load validate':<24}{'':>9}{results['h2load_validate_per_second']:>9}")
    return "\n".join(lines)


@contextmanager
def stores(folder: Path) -> Iterator[tuple[EmbeddedPostgres, EmbeddedValkey]]:
    """Durable stores, as in production."""
    with (
        EmbeddedPostgres(folder / "postgres") as postgres,
        EmbeddedValkey(folder / "valkey") as valkey,
    ):
        yield postgres, valkey


def side(
    bench: Bench, postgres: EmbeddedPostgres, redis_url: str, name: str, sessions: int
) -> Side:
    """A database with that many sessions, a server on it, and requests for it."""
    dsn = postgres.create_database(name)
    migrate(dsn)
    empty = World(dsn, redis_url, SecretKeys.generate_text(), {}, "", "")
    world, requests, mint_kid = asyncio.run(prepare(bench, empty, name, sessions))
    metrics = f"127.0.0.1:{free_port()}"
    environment = world.environment(
        allow_unsafe_durability="false",
        rate_scale="1000",
        max_unary_calls="5000",
        metrics_listen=metrics,
    )
    server = ServerProcess(environment)
    bench.stack.callback(server.kill)
    return Side(world, server, requests, mint_kid, metrics)


async def prepare(
    bench: Bench, empty: World, name: str, sessions: int
) -> tuple[World, dict[str, Path], str]:
    """Fill the database and write the requests down."""
    world = await seed(empty)
    parts = await Parts.open(world.settings(allow_unsafe_durability=False))
    try:
        await filling.fill(world.dsn, sessions, parts.mint.active_kid())
        access = await filling.access_tokens(world, parts)
        facts = parse_jwt(access["jwt"], parts.settings.issuer).facts
        requests = {
            "warm": [validate(access["jwt"])],
            "opaque": [validate(access["opaque"])],
            "exchange": [
                pb.ExchangeRequest(token=token).SerializeToString()
                for token in filling.session_tokens(parts, range(1, CHAINS + 1))
            ],
            **cold_requests(bench.size, parts, facts),
            **revocations(bench.size, parts),
        }
        return world, write_down(bench.folder, name, requests), parts.mint.active_kid()
    finally:
        await parts.close()


def reply_sizes(small: Side) -> dict[str, int]:
    """How large the service's replies are: the echo's are as large."""
    return asyncio.run(filling.reply_sizes(small.world, small.server.address, small.requests))


if __name__ == "__main__":
    if shutil.which("nproc") is None:
        sys.exit("this benchmark needs Linux")
    main()
