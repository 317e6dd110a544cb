"""The embedded PostgreSQL and Valkey: real, durable, private, and gone with their parent."""

import os
import shutil
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import redis

from tests.conftest import Stores
from tests.support.processes import (
    children_of,
    command_line,
    environment,
    run_victim,
    uid_of,
    wait_until_gone,
)
from tests.support.waiting import PATIENCE
from token_service.adapters.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedValkey
from token_service.adapters.embedded.binaries import postgres_bin
from token_service.adapters.embedded.cluster import postgres_processes
from token_service.adapters.postgres.schema import MIGRATIONS


@pytest.fixture
def data_dir(open_dir: Path) -> Iterator[Path]:
    folder = open_dir / uuid.uuid4().hex
    yield folder
    for note in folder.rglob("socket-folder"):  # left by a killed parent
        shutil.rmtree(note.read_text().strip())
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def prepared(open_dir: Path) -> Path:
    """A data directory with a cluster in it: to copy one is faster than to make one."""
    folder = open_dir / "prepared"
    with EmbeddedPostgres(folder, fsync=False):
        pass
    return folder


@pytest.fixture
def warm_dir(data_dir: Path, prepared: Path) -> Path:
    return copy_of(prepared, data_dir)


def copy_of(prepared: Path, target: Path) -> Path:
    target.parent.mkdir(exist_ok=True)
    target.parent.chmod(0o711)
    subprocess.run(["/bin/cp", "-a", prepared, target], check=True, timeout=60)
    return target


@pytest.fixture
def shared_home(open_dir: Path) -> Iterator[Path]:
    folder = open_dir / f"home-{uuid.uuid4().hex}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def write(dsn: str, value: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        await connection.execute("INSERT INTO kept VALUES ($1)", value)
    finally:
        await connection.close()


async def read(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return [row["value"] for row in await connection.fetch("SELECT value FROM kept")]
    finally:
        await connection.close()


async def test_data_survive_a_stop_and_a_new_start(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as first:
        await write(first.dsn, "before")
    with EmbeddedPostgres(data_dir) as second:
        assert await read(second.dsn) == ["before"]


async def test_the_address_holds_over_a_restart_of_the_same_object(warm_dir: Path) -> None:
    with EmbeddedPostgres(warm_dir, fsync=False) as server:
        dsn = server.dsn
        await write(dsn, "before")
        server.stop()
        server.start()
        assert server.dsn == dsn
        assert await read(dsn) == ["before"]


async def test_the_default_is_durable_and_private(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        connection = await asyncpg.connect(server.dsn)
        try:
            rows = await connection.fetch("SELECT name, setting FROM pg_settings")
        finally:
            await connection.close()
    settings = {row["name"]: row["setting"] for row in rows}
    assert settings["fsync"] == "on"
    assert settings["full_page_writes"] == "on"
    assert settings["synchronous_commit"] == "on"
    assert settings["data_checksums"] == "on"
    assert settings["server_encoding"] == "UTF8"
    assert settings["lc_messages"] == "C"
    assert settings["max_connections"] == "200"
    assert settings["listen_addresses"] == ""
    assert settings["server_version_num"].startswith("18")


async def test_the_password_is_needed_and_stays_out_of_sight(warm_dir: Path) -> None:
    with EmbeddedPostgres(warm_dir, fsync=False) as server:
        password_file = warm_dir / "password"
        password = password_file.read_text().strip()
        assert len(password) >= 32
        assert stat.S_IMODE(password_file.stat().st_mode) == 0o600
        pids = [server.pid, *children_of(server.pid)]
        assert "postgres -D" in command_line(server.pid)
        assert "LC_ALL=C" in environment(server.pid)
        assert not any(password in command_line(pid) for pid in pids)
        assert not any(password in environment(pid) for pid in pids)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn.replace(password, "wrong"))
    assert password not in (warm_dir / "server.log").read_text()
    assert password not in repr(server)


async def test_a_failing_statement_leaves_no_value_in_the_log(warm_dir: Path) -> None:
    with EmbeddedPostgres(warm_dir, fsync=False) as server:
        connection = await asyncpg.connect(server.dsn)
        try:
            await connection.execute("CREATE TABLE secrets (value text PRIMARY KEY)")
            await connection.execute("INSERT INTO secrets VALUES ('canary-1')")
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute("INSERT INTO secrets VALUES ('canary-1')")
            with pytest.raises(asyncpg.PostgresSyntaxError):
                await connection.execute("INSERT INTO secrets VALUES 'canary-2'")
        finally:
            await connection.close()
    log = (warm_dir / "server.log").read_text()
    assert "ready to accept connections" in log
    assert "canary" not in log


def test_no_server_runs_as_root_or_in_our_process_group(embedded: Stores) -> None:
    postmaster = embedded.postgres.pid
    assert children_of(postmaster)
    for pid in (postmaster, *children_of(postmaster)):
        assert uid_of(pid) != 0
        assert os.getpgid(pid) != os.getpgid(0)
    assert os.getpgid(embedded.valkey.pid) != os.getpgid(0)


def test_a_second_start_on_the_same_data_is_refused(warm_dir: Path) -> None:
    with EmbeddedPostgres(warm_dir, fsync=False) as first:
        second = EmbeddedPostgres(warm_dir, fsync=False)
        with pytest.raises(EmbeddedError, match=rf"in use by another process \(pid {os.getpid()}"):
            second.start()
        second.stop()
        assert first.running
        first.drop_database("nothing")  # the first one still answers


def test_two_processes_racing_for_the_same_data(data_dir: Path) -> None:
    victims = [run_victim(data_dir) for _ in range(2)]
    try:
        reports = [victim.report() for victim in victims]
        assert sorted("error" in report for report in reports) == [False, True]
        assert any("in use by another process" in report.get("error", "") for report in reports)
    finally:
        for victim in victims:
            victim.kill()
    wait_until_gone(postgres_processes(data_dir))


@pytest.mark.parametrize("thread", ["main", "worker"])
async def test_nothing_outlives_a_killed_parent(
    data_dir: Path, prepared: Path, thread: str
) -> None:
    copy_of(prepared, data_dir / "postgres")
    victim = run_victim(data_dir, thread=thread)
    report = victim.report()
    postmaster, valkey = report["postgres"], report["valkey"]
    pids = [postmaster, *children_of(postmaster), valkey]
    assert len(pids) > 4
    await write(report["dsn"], "committed")

    victim.kill()

    wait_until_gone(pids)
    assert postgres_processes(data_dir) == []
    with EmbeddedPostgres(data_dir / "postgres") as server:
        assert await read(server.dsn) == ["committed"]
    with EmbeddedValkey(data_dir / "valkey") as cache:
        assert cache.running
    for folder in report["sockets"]:
        assert not Path(folder).exists()


async def test_the_server_outlives_the_thread_that_started_it(warm_dir: Path) -> None:
    server = EmbeddedPostgres(warm_dir, fsync=False)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    try:
        await write(server.dsn, "alive")
        assert await read(server.dsn) == ["alive"]
    finally:
        server.stop()


async def test_a_crash_loses_nothing_that_was_committed(warm_dir: Path) -> None:
    server = EmbeddedPostgres(warm_dir)
    server.start()
    try:
        await write(server.dsn, "committed")
        pids = [server.pid, *children_of(server.pid)]
        server.crash()
        wait_until_gone(pids)
        server.start()
        assert await read(server.dsn) == ["committed"]
    finally:
        server.stop()


def test_the_pid_file_of_a_killed_server_is_no_obstacle(warm_dir: Path) -> None:
    server = EmbeddedPostgres(warm_dir, fsync=False)
    server.start()
    pid_file = server.cluster / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    server.crash()
    # After a restart of the machine the pid belongs to any process: here, to a live one.
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        pid_file.write_text("\n".join([str(other.pid), *lines[1:]]) + "\n")
        server.start()
        server.stop()
        assert other.poll() is None
        other.communicate(b"\n")


def test_a_start_cut_short_in_initdb_is_begun_again(data_dir: Path) -> None:
    (data_dir / "cluster.new").mkdir(parents=True)
    (data_dir / "cluster.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(data_dir, fsync=False) as server:
        assert server.running
    assert not (data_dir / "cluster.new").exists()


def test_a_server_that_cannot_start_says_why(warm_dir: Path) -> None:
    server = EmbeddedPostgres(warm_dir, fsync=False, settings={"shared_buffers": "no-size"})
    with pytest.raises(EmbeddedError, match=r'ended with status 1(?s:.*)"shared_buffers"'):
        server.start()
    assert postgres_processes(warm_dir) == []
    with EmbeddedPostgres(warm_dir, fsync=False) as good:  # the directory was unlocked
        assert good.running


def test_a_server_that_does_not_get_ready_in_time_is_stopped(warm_dir: Path) -> None:
    with EmbeddedPostgres(warm_dir, fsync=False):
        pass
    late = EmbeddedPostgres(warm_dir, fsync=False, start_timeout=-1.0)
    with pytest.raises(EmbeddedError, match="was not ready"):
        late.start()
    assert not late.running
    assert postgres_processes(warm_dir) == []


def test_data_without_their_password_are_refused(warm_dir: Path) -> None:
    with EmbeddedPostgres(warm_dir, fsync=False):
        pass
    (warm_dir / "password").unlink()
    with pytest.raises(EmbeddedError, match="password is missing"):
        EmbeddedPostgres(warm_dir, fsync=False).start()


async def test_a_closed_folder_moves_the_data_where_the_server_can_go(
    data_dir: Path, shared_home: Path
) -> None:
    closed = data_dir / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0o700)
    said: list[str] = []

    def server() -> EmbeddedPostgres:
        return EmbeddedPostgres(
            closed / "postgres", fsync=False, shared_home=shared_home, notify=said.append
        )

    with server() as first:
        place = first.cluster
        await write(first.dsn, "kept")
    with server() as second:
        assert await read(second.dsn) == ["kept"]

    if os.geteuid() == 0:
        assert place.is_relative_to(shared_home)
        assert len(said) == 1
        assert str(place.parent) in said[0]
    else:  # our own user can go where we can
        assert place.is_relative_to(closed)
        assert said == []

    shutil.rmtree(closed / "postgres")  # what a user does to start anew
    with server() as third, pytest.raises(asyncpg.UndefinedTableError):
        await read(third.dsn)
    assert third.cluster == place or not place.exists()


async def test_databases_are_cloned_and_dropped(embedded: Stores) -> None:
    dsn = embedded.postgres.create_database("original")
    await write(dsn, "copied")
    copy = embedded.postgres.create_database("copy", template="original")
    assert await read(copy) == ["copied"]
    connection = await asyncpg.connect(copy)
    embedded.postgres.drop_database("copy")
    embedded.postgres.drop_database("original")
    with pytest.raises(asyncpg.PostgresConnectionError):
        await connection.fetchval("SELECT 1")
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(copy)


@pytest.mark.parametrize("name", ["", "Capital", 'quo"te', "semi;colon", "a" * 64, "1st", "x\n"])
def test_a_database_name_that_needs_quoting_is_refused(embedded: Stores, name: str) -> None:
    with pytest.raises(EmbeddedError, match="not a database name"):
        embedded.postgres.create_database(name)


def test_valkey_keeps_nothing_and_wants_its_password(data_dir: Path) -> None:
    with EmbeddedValkey(data_dir) as server:
        url = server.url
        with redis.from_url(url) as connection:
            assert connection.set("name", "value")
            assert connection.get("name") == b"value"
        password = url.split(":")[2].split("@")[0]
        assert "valkey-server" in command_line(server.pid)
        assert password not in command_line(server.pid)
        assert password not in environment(server.pid)
        stranger = redis.from_url(url.replace(password, "wrong"))
        with stranger, pytest.raises(redis.AuthenticationError):
            stranger.ping()
        server.crash()
        server.start()
        assert server.url == url
        with redis.from_url(url) as connection:
            assert connection.get("name") is None
    assert sorted(path.name for path in data_dir.iterdir()) == ["lock", "server.log"]
    assert password not in (data_dir / "server.log").read_text()


def test_valkey_that_cannot_start_says_why(data_dir: Path) -> None:
    server = EmbeddedValkey(data_dir, settings={"maxmemory": "no-size"})
    with pytest.raises(EmbeddedError, match=r"ended with status 1(?s:.*)maxmemory"):
        server.start()
    assert not server.running


def test_a_second_valkey_on_the_same_directory_is_refused(data_dir: Path) -> None:
    with EmbeddedValkey(data_dir) as first:
        with pytest.raises(EmbeddedError, match="in use by another process"):
            EmbeddedValkey(data_dir).start()
        assert first.running


def test_stopping_ends_every_process_and_removes_the_socket(warm_dir: Path) -> None:
    postgres, valkey = EmbeddedPostgres(warm_dir, fsync=False), EmbeddedValkey(warm_dir / "v")
    postgres.start()
    valkey.start()
    pids = [postgres.pid, *children_of(postgres.pid), valkey.pid]
    sockets = [socket_folder(warm_dir), socket_folder(warm_dir / "v")]
    assert all(folder.is_dir() for folder in sockets)
    assert all(len(str(folder)) < 80 for folder in sockets)
    postgres.stop()
    valkey.stop()
    wait_until_gone(pids)
    assert not any(folder.exists() for folder in sockets)
    postgres.stop()  # harmless
    valkey.stop()


def socket_folder(data_dir: Path) -> Path:
    return Path((data_dir / "socket-folder").read_text().strip())


def test_the_fixtures_give_a_migrated_database_and_an_empty_cache(dsn: str, redis_url: str) -> None:
    with redis.from_url(redis_url) as connection:
        assert connection.dbsize() == 0
        connection.set("left", "over")
    psql = subprocess.run(
        [postgres_bin() / "psql", "-XAt", dsn, "-c", "SELECT count(*) FROM schema_migrations"],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert int(psql.stdout) == len(list(MIGRATIONS.glob("*.sql")))
