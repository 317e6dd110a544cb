"""All that is measured about the trust feed and validators, in a database of its own.

Also a program: `python -m tests.bench.feed [--quick]` measures it alone.
"""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench import validators
from tests.bench.feed_processes import until_idle
from tests.bench.feed_world import FULL, QUICK, prepare
from tests.bench.idle_watchers import idle_watchers, snapshot
from tests.bench.stores import alone, note
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.postgres.migrate import migrate


def measure(
    postgres: EmbeddedPostgres, redis_url: str, folder: Path, *, quick: bool
) -> dict[str, Any]:
    """Everything about the feed and who follows it; two servers serve it all."""
    size = QUICK if quick else FULL
    dsn = postgres.create_database("feed")
    migrate(dsn)
    world = asyncio.run(prepare(dsn, redis_url, folder, size))
    local_size = validators.QUICK if quick else validators.FULL
    asyncio.run(validators.write_tokens(world, size, local_size))
    with ExitStack() as stack:
        own, other = world.server(), world.server()
        stack.callback(own.kill)
        stack.callback(other.kill)
        note("idle watchers")
        results = idle_watchers(world, other, size)  # first: there is nothing to tell them yet
        note("one validator")
        until_idle(other.process.pid)
        results |= validators.local(world, other, local_size)
        note("a hundred validators, and watchers beside a bare stream")
        results |= validators.ValidatorFanOut(world, own, other, stack).run(size)
    note("a large snapshot")
    return results | snapshot(world, size)


if __name__ == "__main__":
    alone(measure)
