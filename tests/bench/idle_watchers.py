"""Watchers to whom nothing happens, and one who asks for a large snapshot."""

import asyncio
import time
from contextlib import ExitStack
from typing import Any

import asyncpg

from tests.bench.feed_processes import Worker, cpu_ns, rss_bytes, run_all
from tests.bench.feed_world import FeedSize, FeedWorld
from tests.bench.watchers import WATCH
from tests.support.servers import ServerProcess


def idle_watchers(world: FeedWorld, server: ServerProcess, size: FeedSize) -> dict[str, Any]:
    """Memory and CPU of each, all on one worker, and with a connection of its own."""
    with ExitStack() as stack:
        workers = [Worker(), Worker()]
        for worker in workers:
            stack.callback(worker.close)
        pid = server.process.pid
        memory = rss_bytes(pid)
        run_all(
            workers,
            "open",
            group="idle",
            count=size.idle // 2,
            connections=size.idle // 2,
            address=server.address,
            method=WATCH,
            authorization=world.as_client("demo-gateway"),
        )
        memory = rss_bytes(pid) - memory
        run_all(workers, "collect", group="idle", revision=0)
        begin, cpu = time.monotonic(), cpu_ns(pid)
        time.sleep(size.idle_seconds)
        seconds, cpu = time.monotonic() - begin, cpu_ns(pid) - cpu
        heard = run_all(workers, "collect", group="idle", revision=0)
    beats = sum(one["messages"] for one in heard)
    return {
        "idle_watchers": size.idle,
        "idle_watcher_kb": memory / 1e3 / size.idle,
        "idle_watcher_core_percent": cpu / 1e7 / seconds / size.idle,
        "idle_watcher_cpu_us_per_heartbeat": cpu / 1e3 / beats,
        "idle_watcher_heartbeats_per_second": beats / seconds / size.idle,
    }


def snapshot(world: FeedWorld, size: FeedSize) -> dict[str, Any]:
    """What a watcher waits for at a server with a long log; the first, and one after it."""
    asyncio.run(append(world.world.dsn, size.entries))
    seconds = []
    with ExitStack() as stack:
        server, worker = world.server(), Worker()
        stack.callback(server.kill)
        stack.callback(worker.close)
        for _ in range(2):
            opened = worker.run(
                "open",
                group="one",
                count=1,
                connections=1,
                address=server.address,
                method=WATCH,
                authorization=world.as_client("demo-gateway"),
            )
            if opened["entries"] < size.entries:
                raise RuntimeError(f"a snapshot of {opened['entries']} entries only")
            seconds.append(opened["seconds"])
            worker.run("close", group="one")
    return {
        "snapshot_entries": size.entries,
        "snapshot_seconds": seconds[0],
        "snapshot_again_seconds": seconds[1],
    }


async def append(dsn: str, count: int) -> int:
    """A log as after a mass revocation; its new revision."""
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        async with conn.transaction():
            head = await conn.fetchval(
                "UPDATE trust_head SET revision = revision + $1 RETURNING revision", count
            )
            await conn.execute(
                """INSERT INTO trust_log (revision, kind, id, device_id, effect, reason, keep_until)
                   SELECT n, 2, gen_random_uuid()::text, '', 1, 1, now() + interval '1 hour'
                   FROM generate_series($1::bigint, $2::bigint) AS n""",
                head - count + 1,
                head,
                timeout=60,
            )
            return int(head)
    finally:
        await conn.close(timeout=10)
