"""Servers remove what is over by themselves, and a backlog does not hold them up."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.support.callers import Callers
from tests.support.servers import ServerProcess
from tests.support.waiting import PATIENCE, until
from tests.support.world import World

FILL = """
INSERT INTO sessions (session_id, lookup_id, kind, platform, acr, amr, idle_seconds, rev,
    created_at, auth_time, rotated_at, last_active_at, idle_expires_at, absolute_expires_at,
    client_id, mint_kid, audiences, scopes, roles)
SELECT gen_random_uuid(), gen_random_uuid(), 1, 1, 1, 1, 60, 0, t, t, t, t, t, t, 'demo-web',
       'gone', '{}', '{}', '{}'
FROM generate_series(1, $1::integer) AS n, (SELECT now() - interval '1 day' AS t) AS past
"""
OVER = "SELECT count(*) FROM sessions WHERE absolute_expires_at <= now()"


@pytest.fixture
async def database(world: World) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(world.dsn, timeout=PATIENCE)
    yield connection
    await connection.close(timeout=PATIENCE)


async def test_two_workers_clear_a_backlog_while_they_serve(
    world: World, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await database.execute(FILL, 30_000)
    server = ServerProcess(world.environment(workers="2"))
    try:
        async with Callers(world, server.address) as callers:
            tokens = await callers.log_in(await callers.new_person())

            async def cleared() -> bool:
                nonlocal tokens
                exchanged = await callers.web.exchange(tokens.session_token)
                tokens = exchanged.tokens
                return not await database.fetchval(OVER)

            await until(cleared)
            await callers.web.exchange(tokens.session_token)
    finally:
        server.kill()


async def test_a_stop_does_not_wait_for_a_backlog(
    world: World, database: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await database.execute(FILL, 200_000)
    server = ServerProcess(world.environment())
    try:

        async def begun() -> bool:
            left: int = await database.fetchval(OVER)
            return 0 < left < 200_000

        await until(begun)
        assert await asyncio.to_thread(server.terminate) == 0
        assert await database.fetchval(OVER)
    finally:
        server.kill()
