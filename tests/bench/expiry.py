"""How fast a server removes expired sessions, and what its callers notice of it: the p99 of warm
Validate while it removes against the p99 while it does not, in interleaved rounds.

The server removes as it always does. A round holds it off by holding the lock that one remover at
a time has, and lets it go on by letting go of that. The load is well below what the server can do,
since at saturation a p99 says nothing; with two cores, what PostgreSQL uses for the removal is
missing to server and load alike, which is more than anybody notices who has the database elsewhere.
How much that is, the same load on a bare echo tells, in the same rounds.
"""

import asyncio
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from tests.bench import filling
from tests.bench.bulk import load
from tests.bench.jobs import VALIDATE
from tests.bench.processes import REPLY_BYTES, Echo, Loader, median
from tests.bench.requests import validate, write_down
from tests.bench.stores import alone
from tests.support.api import basic
from tests.support.servers import ServerProcess
from tests.support.world import World, seed
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.postgres.migrate import migrate
from token_service.adapters.postgres.removal import REMOVAL_LOCK
from token_service.app.parts import Parts

Answers = dict[str, list[dict[str, Any]]]

CALLS_PER_SECOND = 800
BEGIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    rounds: int
    seconds: float
    sessions: int
    over_percent: int


FULL = Size(rounds=7, seconds=2.0, sessions=3_000_000, over_percent=70)
QUICK = Size(rounds=2, seconds=0.8, sessions=400_000, over_percent=80)


class Removal:
    """The server's removal, held off or let go on."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._conn = connection
        self._began = 0.0
        self._left = 0
        self.rates: list[float] = []

    async def hold(self) -> None:
        """Return when nobody is at it any more."""
        await self._conn.execute("SELECT pg_advisory_lock($1)", REMOVAL_LOCK)

    async def let_go_on(self) -> None:
        """Return when the server is at it. Raises RuntimeError where it is not."""
        self._left = await self._count()
        await self._conn.execute("SELECT pg_advisory_unlock($1)", REMOVAL_LOCK)
        self._began = time.monotonic()
        while not await self._conn.fetchval(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $1", REMOVAL_LOCK
        ):
            if time.monotonic() - self._began > BEGIN_SECONDS:
                raise RuntimeError("the server removes nothing")
            await asyncio.sleep(0.005)
        self._began = time.monotonic()

    async def stop(self) -> None:
        """Hold it off again, and note how fast it was. Raises RuntimeError where it had come to an
        end before."""
        await self.hold()
        took = time.monotonic() - self._began
        left = await self._count()
        if not left:
            raise RuntimeError("all expired sessions were gone before the round was over")
        self.rates.append((self._left - left) / took)

    async def _count(self) -> int:
        left: int = await self._conn.fetchval(
            "SELECT count(*) FROM sessions WHERE absolute_expires_at <= now()"
        )
        return left


def measure(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, *, quick: bool
) -> dict[str, Any]:
    """The rate and the ratio, and the figures behind them."""
    return asyncio.run(_measure(postgres, redis_url, QUICK if quick else FULL, folder))


async def _measure(
    postgres: EmbeddedPostgres, redis_url: str, size: Size, folder: Path
) -> dict[str, Any]:
    dsn = postgres.create_database("expiry")
    await asyncio.to_thread(migrate, dsn)
    world = await seed(World(dsn, redis_url, SecretKeys.generate_text(), {}, "", ""))
    requests = await _prepare(world, size, folder)
    connection = await asyncpg.connect(dsn, timeout=10)
    removal = Removal(connection)
    answers: Answers = defaultdict(list)
    with ExitStack() as stack:
        try:
            await removal.hold()
            environment = world.environment(allow_unsafe_durability="false", rate_scale="1000")
            server = ServerProcess(environment)
            stack.callback(server.kill)
            echo, loader = Echo(validate=REPLY_BYTES), Loader()
            stack.callback(echo.close)
            stack.callback(loader.close)
            authorization = basic("demo-gateway", world.clients["demo-gateway"])
            targets = {
                "": (VALIDATE, server.address, authorization),
                "echo_": ("/echo/validate", echo.address, "Basic YTpi"),
            }
            _load(loader, targets[""], requests, 1.0)
            for _ in range(size.rounds):
                await connection.execute("CHECKPOINT")
                for name, target in targets.items():
                    answers[f"{name}still"].append(_load(loader, target, requests, size.seconds))
                await removal.let_go_on()
                for name, target in targets.items():
                    answers[f"{name}removing"].append(_load(loader, target, requests, size.seconds))
                await removal.stop()
        finally:
            await connection.close(timeout=10)
    return _results(answers, removal.rates)


def _load(
    loader: Loader, target: tuple[str, str, str], requests: Path, seconds: float
) -> dict[str, Any]:
    """Warm calls for so long; raises RuntimeError when a single one was not answered ACTIVE."""
    method, address, authorization = target
    count = int(CALLS_PER_SECOND * seconds)
    answer = loader.run(
        kind="paced",
        method=method,
        address=address,
        authorization=authorization,
        requests=str(requests),
        rate=CALLS_PER_SECOND,
        count=count,
    )
    if answer["calls"] != count:
        raise RuntimeError(f"{answer['calls']} of {count} calls were answered")
    return answer


def _results(answers: Answers, rates: list[float]) -> dict[str, Any]:
    def middle(kind: str, figure: str) -> float:
        return median([answer[figure] for answer in answers[kind]])

    return {
        "expired_removed_per_second": median(rates),
        "expiry_validate_p99_ratio": middle("removing", "p99_ms") / middle("still", "p99_ms"),
        "expiry_echo_p99_ratio": middle("echo_removing", "p99_ms") / middle("echo_still", "p99_ms"),
        "expiry": {
            "removed_per_second": [round(rate) for rate in rates],
            "p99_ms": {k: [round(a["p99_ms"], 3) for a in v] for k, v in answers.items()},
            "p50_ms": {k: round(middle(k, "p50_ms"), 3) for k in answers},
            "calls_per_second": CALLS_PER_SECOND,
        },
    }


async def _prepare(world: World, size: Size, folder: Path) -> Path:
    """Fill the table; the requests."""
    parts = await Parts.open(world.settings(allow_unsafe_durability=False))
    try:
        await load(
            world.dsn, size.sessions, parts.mint.active().kid, over_percent=size.over_percent
        )
        token = (await filling.access_tokens(world, parts))["jwt"]
        return write_down(folder, "expiry", {"warm": [validate(token)]})["warm"]
    finally:
        await parts.close()


if __name__ == "__main__":
    alone(measure)
