"""The commands on schemas that are older than the program, newer, or another's."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.conftest import Stores
from tests.support.command_line import CommandLine
from tests.support.fixtures import StartServer
from tests.support.world import World
from token_service.adapters.postgres.schema import MIGRATIONS, read_schema

NEWER = "99991231000001"


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


async def migrated_by_a_newer_version(dsn: str) -> None:
    async with connected(dsn) as connection:
        await connection.execute("INSERT INTO schema_migrations VALUES ($1)", NEWER)


async def versions(dsn: str) -> list[str]:
    async with connected(dsn) as connection:
        rows = await connection.fetch("SELECT version FROM schema_migrations ORDER BY 1")
        return [row["version"] for row in rows]


@pytest.fixture
def operator(world: World, tmp_path: Path) -> CommandLine:
    """The command line with the environment of a server."""
    return CommandLine(tmp_path, world.environment())


async def test_the_database_is_migrated_with_its_address_alone(
    embedded: Stores, tmp_path: Path
) -> None:
    dsn = embedded.postgres.create_database("cli_migrate")
    operator = CommandLine(tmp_path).with_variables(postgres_dsn=dsn)
    names = sorted(path.name for path in MIGRATIONS.glob("*.sql"))
    try:
        ran = operator.run_apart("migrate", "--json")
        assert json.loads(ran.out) == {"applied": names, "newer": []}
        async with connected(dsn) as connection:
            assert (await read_schema(connection)).missing == ()
        assert operator.run_apart("migrate").out == "up to date\n"
    finally:
        embedded.postgres.drop_database("cli_migrate")


async def test_a_newer_schema_is_served_with_a_line_in_the_log(
    world: World, start_server: StartServer
) -> None:
    await migrated_by_a_newer_version(world.dsn)
    server = start_server()
    assert server.terminate() == 0
    [line] = [line for line in server.output if "schema_is_newer" in line]
    assert json.loads(line)["migrations"] == [NEWER]


async def test_the_doctor_tells_of_a_newer_schema(operator: CommandLine, world: World) -> None:
    await migrated_by_a_newer_version(world.dsn)
    checks = json.loads(operator.run_apart("doctor", "--json").out)["checks"]
    found = {check["name"]: check for check in checks}
    assert found["migrations"]["status"] == "warn"
    assert NEWER in found["migrations"]["detail"]
    assert found["trust log"]["status"] == "ok"  # what can be read is examined all the same
    assert found["secret keys"]["status"] == "ok"


async def test_a_newer_schema_is_left_as_it_is(operator: CommandLine, world: World) -> None:
    await migrated_by_a_newer_version(world.dsn)
    before = await versions(world.dsn)
    ran = operator.run_apart("migrate")
    assert ran.code == 0  # a node of the old version may start again beside the new ones
    assert ran.out == f"nothing to do: the schema is newer than this version, by {NEWER}\n"
    told = operator.run_apart("migrate", "--json")
    assert json.loads(told.out) == {"applied": [], "newer": [NEWER]}
    assert await versions(world.dsn) == before


async def test_whoever_may_not_read_the_schema_is_told_so(
    operator: CommandLine, world: World
) -> None:
    parts = urlsplit(world.dsn)
    stranger = parts._replace(netloc=f"stranger:canary-pw@{parts.netloc.rpartition('@')[2]}")
    async with connected(world.dsn) as connection:
        await connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'canary-pw'")
        try:
            there = operator.with_variables(postgres_dsn=stranger.geturl())
            ran = [there.run_apart(name) for name in ("migrate", "serve", "doctor")]
        finally:
            await connection.execute("DROP ROLE stranger")
    assert [one.code for one in ran] == [1, 2, 1]
    for one, cause in zip(ran, ["42501", "42501", "InsufficientPrivilegeError"], strict=True):
        assert cause in one.out + one.err
        assert "canary-pw" not in one.out + one.err


async def test_another_line_of_development_is_left_as_it_is(
    operator: CommandLine, world: World
) -> None:
    """The database lacks a migration of ours and has one that is not: no order is right."""
    await migrated_by_a_newer_version(world.dsn)
    newest = max(path.name for path in MIGRATIONS.glob("*.sql"))
    async with connected(world.dsn) as connection:
        await connection.execute(
            "DELETE FROM schema_migrations WHERE version = $1", newest.partition("_")[0]
        )
    before = await versions(world.dsn)
    ran = operator.run_apart("migrate")
    assert (ran.code, ran.out) == (1, "")
    assert NEWER in ran.err
    assert newest in ran.err
    assert await versions(world.dsn) == before
    assert operator.run_apart("serve").code == 2
    checks = json.loads(operator.run_apart("doctor", "--json").out)["checks"]
    [found] = [check for check in checks if check["name"] == "migrations"]
    assert found["status"] == "fail"
    assert newest in found["detail"]
    assert NEWER in found["detail"]
