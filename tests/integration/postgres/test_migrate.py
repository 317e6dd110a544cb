"""Migrations: applied once, whoever races, without the password showing anywhere."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.conftest import Stores
from tests.support.processes import all_command_lines
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.postgres.dsn import Server
from token_service.adapters.postgres.migrate import MigrationError, migrate
from token_service.adapters.postgres.schema import MIGRATIONS, Schema, read_schema

_NAME = "unmigrated"


@pytest.fixture
def empty(embedded: Stores) -> Iterator[str]:
    yield embedded.postgres.create_database(_NAME)
    embedded.postgres.drop_database(_NAME)


def migration(folder: Path, name: str, statement: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"-- migrate:up\n{statement}\n-- migrate:down\n")
    return folder


async def schema_of(dsn: str, migrations: Path = MIGRATIONS) -> Schema:
    connection = await asyncpg.connect(dsn)
    try:
        return await read_schema(connection, migrations)
    finally:
        await connection.close()


async def fetch(dsn: str, query: str) -> object:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_every_packaged_migration_is_applied_once(empty: str) -> None:
    names = sorted(path.name for path in MIGRATIONS.glob("*.sql"))
    assert names
    assert await schema_of(empty) == Schema(missing=tuple(names))
    await asyncio.to_thread(migrate, empty)
    assert await schema_of(empty) == Schema()
    await asyncio.to_thread(migrate, empty)
    assert await schema_of(empty) == Schema()


async def test_migrations_of_another_version_are_told(empty: str, tmp_path: Path) -> None:
    ours = migration(tmp_path / "ours", "1_first.sql", "SELECT 1;")
    theirs = migration(tmp_path / "theirs", "2_second.sql", "SELECT 2;")
    await asyncio.to_thread(migrate, empty, migrations=theirs)
    assert await schema_of(empty, ours) == Schema(missing=("1_first.sql",), newer=("2",))


async def test_asking_changes_nothing(empty: str) -> None:
    await schema_of(empty)
    assert await fetch(empty, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


async def test_two_at_once_apply_each_migration_once(empty: str, tmp_path: Path) -> None:
    folder = migration(tmp_path, "1_slow.sql", "CREATE TABLE once (x int); SELECT pg_sleep(0.5);")
    await asyncio.gather(*(asyncio.to_thread(migrate, empty, migrations=folder) for _ in range(3)))
    assert await fetch(empty, "SELECT count(*) FROM schema_migrations") == 1
    assert await schema_of(empty, folder) == Schema()


async def test_a_failed_migration_leaves_nothing_and_says_why(empty: str, tmp_path: Path) -> None:
    folder = migration(tmp_path, "1_bad.sql", "CREATE TABLE half (x int); SELECT 1 / 0;")
    with pytest.raises(MigrationError, match="division by zero"):
        migrate(empty, migrations=folder)
    assert await schema_of(empty, folder) == Schema(missing=("1_bad.sql",))
    assert await fetch(empty, "SELECT to_regclass('half')") is None


async def test_the_password_is_never_an_argument(empty: str, tmp_path: Path) -> None:
    password = urlsplit(empty).password
    assert password
    folder = migration(tmp_path, "1_slow.sql", "SELECT pg_sleep(1);")
    task = asyncio.create_task(asyncio.to_thread(migrate, empty, migrations=folder))
    while not any(str(folder) in line for line in all_command_lines()):
        assert not task.done()
        await asyncio.sleep(0.01)
    assert not any(password in line for line in all_command_lines())
    await task


@pytest.mark.parametrize(
    "dsn",
    [
        "postgres://user:canary%2Fpw@127.0.0.1:1/db",
        "postgres://user:canary/pw@host:99999/db",
        "postgres://user:canary%2Fpw@[broken/db",
        "postgres://user:canary%pw@127.0.0.1:1/db",
        "postgres://user:canary?pw@127.0.0.1:1/db",
        "canary",
    ],
)
def test_an_error_does_not_tell_the_password(dsn: str) -> None:
    with pytest.raises(MigrationError) as caught:
        migrate(dsn)
    assert str(caught.value)
    assert "canary" not in str(caught.value)


async def test_a_server_without_tls_is_migrated_over_tcp(open_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    addresses = ["127.0.0.1", *(["::1"] if Path("/proc/net/if_inet6").exists() else [])]
    settings = {"listen_addresses": ",".join(addresses), "port": port}
    with EmbeddedPostgres(open_dir / "tcp", fsync=False, settings=settings) as server:
        base = server.dsn.partition("@")[0]
        for address in addresses:
            dsn = f"{base}@{Server(address, int(port))}/token_service"
            await asyncio.to_thread(migrate, dsn)
            assert await schema_of(dsn) == Schema()
