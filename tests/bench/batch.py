"""Many tokens to a call against a call for each: tokens per CPU second of the server.

Cached tokens are JWTs that the server has seen before; cold ones are opaque access tokens of
sessions that neither the server nor Redis knows, so that Postgres has to be asked.

Also a program: `python -m tests.bench.batch [--quick]` measures it alone.
"""

import asyncio
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench import filling
from tests.bench.bulk import load
from tests.bench.feed_processes import Worker, cpu_ns
from tests.bench.processes import median
from tests.bench.stores import alone
from tests.support.servers import ServerProcess
from tests.support.world import World, seed
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.postgres.migrate import migrate
from token_service.app.parts import Parts
from tokenservice.core import OpaqueAccess, parse_jwt

IN_FLIGHT = 256
"""Callers that wait for a verdict at the same time."""
BATCH = 256
"""Tokens to a call: the most that the service takes."""
BATCHES_IN_FLIGHT = 4
CACHED = 2_048
SESSION = "10000000-0000-4000-8000-{:012x}"


@dataclass(frozen=True, slots=True)
class BatchSize:
    """How many tokens are asked about in each round."""

    rounds: int
    cached: int
    cold: int


FULL = BatchSize(rounds=7, cached=4 * CACHED, cold=2_048)
QUICK = BatchSize(rounds=3, cached=CACHED, cold=1_024)


def measure(
    postgres: EmbeddedPostgres,
    redis_url: str,
    folder: Path,
    *,
    quick: bool,
    database: str = "batch",
) -> dict[str, Any]:
    """The ratios, and the figures behind them."""
    size = QUICK if quick else FULL
    dsn = postgres.create_database(database)
    migrate(dsn)
    world, cached, cold = asyncio.run(_prepare(dsn, redis_url, folder, size))
    used: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        environment = world.environment(
            allow_unsafe_durability="false", rate_scale="1000", max_unary_calls="5000"
        )
        server = ServerProcess(environment)
        stack.callback(server.kill)
        worker = Worker("tests.bench.asking")
        stack.callback(worker.close)
        secret = world.clients["demo-gateway"]
        worker.run("open", address=server.address, client_id="demo-gateway", secret=secret)

        def ask(name: str, job: str, tokens: Path, first: int, count: int, **how: int) -> None:
            before = cpu_ns(server.process.pid)
            worker.run(job, tokens=str(tokens), first=first, count=count, **how)
            used[name].append((cpu_ns(server.process.pid) - before) / 1e3 / count)

        ask("first", "batches", cached, 0, size.cached, size=BATCH, in_flight=BATCHES_IN_FLIGHT)
        for number in range(size.rounds):
            many = {"size": BATCH, "in_flight": BATCHES_IN_FLIGHT}
            ask("cached_unary", "unary", cached, 0, CACHED, in_flight=IN_FLIGHT)
            ask("cached_batch", "batches", cached, 0, size.cached, **many)
            first = number * 3 * size.cold
            ask("cold_unary", "unary", cold, first, size.cold, in_flight=IN_FLIGHT)
            ask("cold_batch", "batches", cold, first + size.cold, size.cold, **many)
            ask(
                "cold_coalesced",
                "coalesced",
                cold,
                first + 2 * size.cold,
                size.cold,
                in_flight=IN_FLIGHT,
            )
    cpu = {name: median(values) for name, values in used.items()}
    return {
        "batch_vs_unary_throughput": cpu["cached_unary"] / cpu["cached_batch"],
        "cold_batch_vs_unary_throughput": cpu["cold_unary"] / cpu["cold_batch"],
        "coalesced_vs_unary_throughput": cpu["cold_unary"] / cpu["cold_coalesced"],
        "batch_cpu_us_per_token": {name: round(value, 1) for name, value in cpu.items()},
    }


async def _prepare(
    dsn: str, redis_url: str, folder: Path, size: BatchSize
) -> tuple[World, Path, Path]:
    """Sessions for the cold tokens, and both kinds of tokens in files, one a line."""
    world = await seed(World(dsn, redis_url, SecretKeys.generate_text(), {}, "", ""))
    parts = await Parts.open(world.settings(allow_unsafe_durability=False))
    try:
        sessions = size.rounds * 3 * size.cold
        await load(dsn, sessions, parts.mint.active().kid)
        access = await filling.access_tokens(world, parts)
        facts = parse_jwt(access["jwt"], parts.settings.issuer).facts
        cached, cold = folder / "batch.cached", folder / "batch.cold"
        cached.write_text("\n".join(filling.fresh_jwts(parts, facts, size.cached)))
        like = parts.tokens.authenticate_opaque(access["opaque"])
        cold.write_text("\n".join(_opaque(parts, like, n) for n in range(1, sessions + 1)))
        return world, cached, cold
    finally:
        await parts.close()


def _opaque(parts: Parts, like: OpaqueAccess, number: int) -> str:
    """A token of the session with this number, for all that the session may do."""
    return parts.tokens.seal_opaque(
        replace(like, session_id=SESSION.format(number), generation=1, scope_mask=0b111)
    )


if __name__ == "__main__":
    alone(measure)
