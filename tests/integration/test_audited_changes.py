"""I4: a change and its audit row exist together or not at all, for every call that changes."""

import sys
from collections.abc import AsyncIterator

import asyncpg
import grpc
import pytest
import pytest_asyncio

from tests.conftest import Stores
from tests.integration.audited_changes import CHANGES, UNCHANGING
from tests.integration.error_causes.scene import Scene
from tests.support.documented import documented
from tests.support.fixtures import SEEDED
from tests.support.servers import ServerProcess
from tests.support.world import World

REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'no audit row today'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION refuse();
"""
ALLOW = "DROP TRIGGER refuse ON audit_log; DROP FUNCTION refuse"

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
BEATS = "trust_beat"
"""The table by which the primary shows each second that it still is one."""
COUNTS = "attempts"
"""The table of attempts: they are counted before it is decided whether they succeed."""
ACTIVITY = frozenset({"last_active_at", "idle_expires_at"})
"""Columns that move with the use of a session, off the path of its calls."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(seeded: World, embedded: Stores) -> AsyncIterator[Scene]:
    """One server for all calls."""
    dsn = embedded.postgres.create_database("audited_changes", template=SEEDED)
    world = seeded.moved_to(dsn, embedded.valkey.url)
    server = ServerProcess(world.environment(rate_scale="100"))
    database = await asyncpg.connect(dsn)
    try:
        async with Scene(world, server, database) as made:
            yield made
    finally:
        await database.close()
        server.kill()
        sys.stdout.writelines(server.output[-40:])
        embedded.postgres.drop_database("audited_changes")


def test_every_method_is_known_to_change_something_or_nothing() -> None:
    changing = {name.split()[0] for name in CHANGES}
    assert changing | UNCHANGING == set(documented().own)
    assert changing & UNCHANGING == set()


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_without_its_audit_row_does_not_happen(scene: Scene, name: str) -> None:
    call = await CHANGES[name](scene)
    apart = {"audit_log", BEATS} if "Unlock" in name else {"audit_log", BEATS, COUNTS}
    before = await contents(scene, apart)
    await scene.sql(REFUSE)
    try:
        with pytest.raises(grpc.aio.AioRpcError):
            await call()
        assert await contents(scene, apart) == before
    finally:
        await scene.sql(ALLOW)
    told = await audited(scene)

    await call()  # the same again

    assert await contents(scene, apart) != before
    assert await audited(scene) > told


async def contents(scene: Scene, apart: set[str]) -> dict[str, list[str]]:
    """What every other table holds."""
    found = {}
    for (table,) in await scene.database.fetch(TABLES):
        if table not in apart:
            rows = await scene.database.fetch(f"SELECT * FROM {table}")  # noqa: S608
            found[table] = sorted(
                repr([(name, value) for name, value in row.items() if name not in ACTIVITY])
                for row in rows
            )
    return found


async def audited(scene: Scene) -> int:
    """How many audit rows there are."""
    count: int = await scene.database.fetchval("SELECT count(*) FROM audit_log")
    return count
