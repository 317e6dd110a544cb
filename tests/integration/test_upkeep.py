"""What a server does by itself from time to time: nothing that is over piles up."""

from typing import Any

import asyncpg

from tests.support.clocks import ShiftedClock, settle
from tests.support.fixtures import StartApplication
from tests.support.waiting import PATIENCE
from tests.support.world import World
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import trust_service_pb2 as trust
from tokenservice.v1 import types_pb2 as types

MANY = 2_001

_OLD_ENTRIES = """
WITH head AS (UPDATE trust_head SET revision = revision + $1::int RETURNING revision)
INSERT INTO trust_log (revision, kind, id, effect, reason, keep_until)
SELECT revision - $1::int + n, 2, gen_random_uuid()::text, 1, 1, now() - interval '1 minute'
FROM head, generate_series(1, $1::int) AS n
"""
_OLD_ATTEMPTS = """
INSERT INTO attempts (bucket, failures, window_ends_at)
SELECT decode(lpad(to_hex(n), 8, '0'), 'hex'), 1, now() - interval '1 minute'
FROM generate_series(1, $1::int) AS n
"""

_CASCADES = """
INSERT INTO cascades (cascade_id, kind, id, device_id, reason, below_rev, actor, subject, outcome,
                      request_id, address, worked_at)
SELECT gen_random_uuid(), 2, gen_random_uuid()::text, '', 4, 0, '', '', '', '', '',
       now() - interval '1 minute'
FROM generate_series(1, $1::int / 1000)
"""


async def leave(world: World, statement: str) -> None:
    """Rows that are over, as a busy minute leaves them."""
    conn = await asyncpg.connect(world.dsn, timeout=PATIENCE)
    try:
        await conn.execute(statement, MANY)
    finally:
        await conn.close(timeout=PATIENCE)


async def count(world: World, table: str) -> Any:
    conn = await asyncpg.connect(world.dsn, timeout=PATIENCE)
    try:
        return await conn.fetchval(f"SELECT count(*) FROM {table}")  # noqa: S608 - a constant
    finally:
        await conn.close(timeout=PATIENCE)


async def test_one_round_removes_all_trust_entries_that_are_over(
    world: World, start_application: StartApplication
) -> None:
    clock = ShiftedClock()
    settle(clock.anchor)
    server = await start_application(clock)
    await leave(world, _OLD_ENTRIES)
    await server.application._sweep()
    assert await count(world, "trust_log") == 0


async def test_one_round_removes_no_entry_while_the_clock_was_just_set(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    await leave(world, _OLD_ENTRIES)
    await server.application._sweep()
    assert await count(world, "trust_log") == MANY


async def test_one_round_removes_all_counted_failures_that_are_over(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    await leave(world, _OLD_ATTEMPTS)
    await server.application._sweep()
    assert await count(world, "attempts") == 0


async def test_one_round_finishes_what_revocations_of_ended_processes_left(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    await leave(world, _CASCADES)
    assert await count(world, "cascades") == 2
    await server.application._resume_cascades()
    assert await count(world, "cascades") == 0


async def test_what_is_held_in_memory_is_told(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    before = server.application.counts().held
    async with (
        world.api(server.address, "demo-api") as api,
        world.api(server.address, "demo-gateway") as gateway,
    ):
        request = pb.IssueRequest(
            client=pb.ClientCredential(), platform=types.PLATFORM_API, audiences=["orders"]
        )
        issued = (await api.tokens.Issue(request, metadata=api.metadata)).tokens
        assert await gateway.verdict(issued.access_tokens[0].token) == "ACTIVE"
        revoked = await api.revoke(token=issued.session_token)
        watch: Any = gateway.trust.WatchTrust(trust.WatchTrustRequest(), metadata=gateway.metadata)
        async for message in watch:
            if message.revision >= revoked.revision:
                break
        during = server.application.counts().held
        watch.cancel()
    assert during["identities"] - before["identities"] == 1
    assert during["active_sessions"] - before["active_sessions"] == 1
    assert during["trust_entries"] - before["trust_entries"] == 1
    assert during["tasks"] > before["tasks"] > 0
