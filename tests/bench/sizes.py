"""Whether a large table costs more: validation and exchange by the number of sessions.

Also a program: `python -m tests.bench.sizes [--quick]` measures it alone. In full it goes to ten
million sessions, which take 18 GB of disk, about three minutes to load, and two to measure.

Each number of sessions has a database and a server of its own, so that rounds are interleaved over
all of them. Exchanges go to sessions at random, each to another one as long as there are any:
pages that nobody has touched are the point, and the large table is many times the size of
PostgreSQL's buffers. Owners, whose rows every exchange reads, grow along: one to ten sessions.
"""

import asyncio
import random
import shutil
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tests.bench import filling
from tests.bench.jobs import EXCHANGE, Jobs
from tests.bench.processes import cpu_seconds, median
from tests.bench.requests import IN_FLIGHT, validate
from tests.bench.sides import Requests, Side, open_side
from tests.bench.stores import alone, note
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.app.parts import Parts
from tokenservice.core import Facts
from tokenservice.v1 import token_service_pb2 as pb

SESSIONS_EACH_OWNER = 10
DISK_BYTES = 1_600
"""For each session: its row, its places in the indexes, and the log of writing them."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured; calls are for each round."""

    sessions: tuple[int, ...]
    rounds: int
    validations: int
    exchanges: int


FULL = Sizes(tuple(10**power for power in range(3, 8)), rounds=7, validations=2_000, exchanges=900)
QUICK = Sizes((1_000, 10_000, 100_000), rounds=2, validations=500, exchanges=300)


def measure(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, *, quick: bool
) -> dict[str, Any]:
    """The ratios of the largest to the smallest, and the figures of all.

    Raises RuntimeError when the disk has no room for them.
    """
    size = QUICK if quick else FULL
    needed = DISK_BYTES * sum(size.sessions)
    if shutil.disk_usage(folder).free < needed:
        raise RuntimeError(f"{needed / 1e9:.0f} GB are needed in {folder} for so many sessions")
    sides: dict[int, Side] = {}
    seconds: dict[int, float] = {}
    postgres_us: dict[int, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        jobs = Jobs()
        stack.callback(jobs.close)
        for sessions in size.sessions:
            note(f"{sessions:,} sessions")
            begin = time.monotonic()
            side = sides[sessions] = _open(postgres, redis_url, folder, sessions, size)
            seconds[sessions] = time.monotonic() - begin
            stack.callback(postgres.drop_database, _name(sessions))
            stack.callback(side.server.kill)
        for number in range(size.rounds):
            note(f"by sessions, round {number + 1} of {size.rounds}")
            for sessions in sorted(sides, reverse=bool(number % 2)):
                used = one_round(jobs, size, sides[sessions], sessions, number)
                postgres_us[sessions].append(used)
    return _results(jobs, size, seconds, postgres_us)


def one_round(jobs: Jobs, size: Sizes, side: Side, sessions: int, number: int) -> float:
    """Each call of one table; PostgreSQL's microseconds of CPU for an exchange."""
    calls = size.validations
    jobs.validate(f"warm_{sessions}", side, "warm", IN_FLIGHT, calls)
    jobs.validate(f"cold_{sessions}", side, f"cold{number}", IN_FLIGHT, calls // 2, "cold")
    jobs.change(
        f"exchange_{sessions}", side, EXCHANGE, "roaming", 1, size.exchanges // 6, "roaming"
    )
    backends = asyncio.run(_backends(side.world.dsn))
    before = sum(map(cpu_seconds, backends))
    jobs.change(
        f"exchange_{sessions}", side, EXCHANGE, "roaming", IN_FLIGHT, size.exchanges, "roaming"
    )
    return 1e6 * (sum(map(cpu_seconds, backends)) - before) / size.exchanges


def _name(sessions: int) -> str:
    return f"sessions_{sessions}"


def _open(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, sessions: int, size: Sizes
) -> Side:
    def requests(parts: Parts, facts: Facts) -> Requests:
        exchanges = size.rounds * (size.exchanges + size.exchanges // 6)
        chosen = random.Random(1).sample(  # noqa: S311 - the same ones each time
            range(1, sessions + 1), min(sessions, exchanges)
        )
        made = {
            "roaming": [
                pb.ExchangeRequest(token=token).SerializeToString()
                for token in filling.session_tokens(parts, chosen)
            ]
        }
        for number in range(size.rounds):
            tokens = filling.fresh_jwts(parts, facts, size.validations // 2)
            made[f"cold{number}"] = [validate(token) for token in tokens]
        return made

    owners = sessions // SESSIONS_EACH_OWNER
    return open_side(
        postgres, redis_url, folder, _name(sessions), sessions, requests, owners=owners
    )


async def _backends(dsn: str) -> list[int]:
    """The processes that serve this database's connections."""
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        rows = await conn.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() "
            "AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
    finally:
        await conn.close(timeout=10)
    return [row["pid"] for row in rows]


def _results(
    jobs: Jobs, size: Sizes, seconds: dict[int, float], postgres_us: dict[int, list[float]]
) -> dict[str, Any]:
    least, most = min(size.sessions), max(size.sessions)
    key = f"sessions_1e{len(str(most)) - 1}"

    def ratio(what: str) -> float:
        return jobs.cpu(f"{what}_{most}") / jobs.cpu(f"{what}_{least}")

    figures = jobs.figures()
    return {
        f"{key}_validate_ratio": ratio("warm"),
        f"{key}_validate_cold_ratio": ratio("cold"),
        f"{key}_exchange_ratio": ratio("exchange"),
        f"{key}_exchange_p50_ratio": figures[f"exchange_{most}@1"]["p50_ms"]
        / figures[f"exchange_{least}@1"]["p50_ms"],
        f"{key}_exchange_postgres_ratio": median(postgres_us[most]) / median(postgres_us[least]),
        "by_sessions": {
            str(sessions): {
                "load_seconds": round(seconds[sessions], 1),
                "validate_cpu_us": round(jobs.cpu(f"warm_{sessions}"), 1),
                "validate_cold_cpu_us": round(jobs.cpu(f"cold_{sessions}"), 1),
                "exchange_cpu_us": round(jobs.cpu(f"exchange_{sessions}"), 1),
                "exchange_postgres_cpu_us": round(median(postgres_us[sessions]), 1),
                "exchange_p50_ms": figures[f"exchange_{sessions}@1"]["p50_ms"],
                "exchange_p99_ms": figures[f"exchange_{sessions}@1"]["p99_ms"],
            }
            for sessions in size.sessions
        },
    }


if __name__ == "__main__":
    alone(measure)
