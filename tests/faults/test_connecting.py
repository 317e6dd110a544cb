"""Servers that are silent, standbys or gone: the primary is found, by every command."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from tests.support.command_line import CommandLine
from tests.support.postgres_cluster import PostgresCluster
from tests.support.servers import ServerProcess
from tests.support.silent import Silent, silent, unreachable
from tests.support.store_fixtures import ClusterTemplate, StartCluster
from tests.support.waiting import patience
from token_service.adapters.postgres.connecting import Source
from token_service.adapters.postgres.pool import Database
from token_service.app.database import open_database
from token_service.app.errors import StartupError

AN_HOUR = 3600.0
NAME = "token_service"


@pytest.fixture
def cluster(start_cluster: StartCluster) -> PostgresCluster:
    """A primary and a hot standby."""
    return start_cluster(standbys=1, synchronous=False)


@pytest.fixture
def mute() -> Iterator[Silent]:
    with silent() as one:
        yield one


@pytest.fixture
def dsn(cluster: PostgresCluster, mute: Silent) -> Iterator[str]:
    """The address of a silent server, one whose packets get lost, a standby, and the primary."""
    (standby,) = cluster.standbys
    password = cluster.primary.password
    with unreachable() as lost:
        hosts = f"{mute.address},{lost},{standby.address},{cluster.primary.address}"
        yield f"postgres://postgres:{password}@{hosts}/{NAME}"


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    async with patience():
        database = await Database.open(dsn, size=4, call_timeout=AN_HOUR)
    yield database
    await database.close()


async def test_the_primary_is_found_behind_silent_servers(
    database: Database, cluster: PostgresCluster
) -> None:
    row = await database.fetchrow("SELECT current_setting('port') AS port")
    assert row is not None
    assert int(row["port"]) == cluster.primary.port


async def test_the_last_good_server_is_asked_first(database: Database, mute: Silent) -> None:
    asked = mute.calls
    assert asked
    for _ in range(3):
        await (await database.connect("test")).close()
    assert mute.calls == asked


async def test_what_is_idle_for_long_is_asked_whether_it_is_there(dsn: str) -> None:
    database = await Database.open(f"{dsn}?keepalives_idle=77", size=1, call_timeout=AN_HOUR)
    conn = await database.connect("test")
    sock = conn._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
    await conn.close()
    await database.close()


async def test_after_a_failover_the_new_primary_is_found(
    database: Database, cluster: PostgresCluster
) -> None:
    former = cluster.primary
    former.freeze()
    (standby,) = cluster.standbys
    cluster.promote(standby)
    try:
        async with patience():
            connection = await database.connect("test")
            assert await connection.fetchval("SHOW port") == str(standby.port)
            await connection.close()
    finally:
        former.thaw()


async def test_where_all_are_standbys_or_silent_each_is_named(
    cluster: PostgresCluster, mute: Silent
) -> None:
    (standby,) = cluster.standbys
    hosts = f"{mute.address},{standby.address}"
    address = f"postgres://postgres:{standby.password}@{hosts}/{NAME}?connect_timeout=1"
    source = Source(text=address)
    with pytest.raises(StartupError) as caught:
        await open_database(source, "test", size=1, call_timeout=1.0)
    message = str(caught.value)
    assert message.startswith("TOKEN_SERVICE_POSTGRES_DSN: it leads to a standby")
    assert f"{mute.address}: TimeoutError" in message
    assert f"{standby.address}: TargetServerAttributeNotMatched" in message


def test_every_command_finds_the_primary(
    dsn: str, cluster_template: ClusterTemplate, tmp_path: Path
) -> None:
    world = cluster_template.world.moved_to(dsn, None)
    variables = world.environment()
    names = {name.removeprefix("TOKEN_SERVICE_"): text for name, text in variables.items()}
    operator = CommandLine(tmp_path).with_variables(**names)
    assert operator.run("migrate").code == 0
    operator.ok("restore-fence", "--yes")
    examined = json.loads(operator.run("doctor", "--json").out)
    found = {check["name"]: check["status"] for check in examined["checks"]}
    assert (found["postgres role"], found["migrations"]) == ("ok", "ok")
    server = ServerProcess(variables)
    assert server.terminate() == 0


async def test_a_database_is_migrated_where_the_primary_is_not_the_first(
    cluster: PostgresCluster, mute: Silent, tmp_path: Path
) -> None:
    cluster.primary.sql("CREATE DATABASE fresh")
    (standby,) = cluster.standbys
    cluster.wait_for_replay(standby)
    hosts = f"{mute.address},{standby.address},{cluster.primary.address}"
    dsn = f"postgres://postgres:{standby.password}@{hosts}/fresh"
    operator = CommandLine(tmp_path).with_variables(postgres_dsn=dsn)
    ran = await asyncio.to_thread(operator.run, "migrate")
    assert ran.code == 0, ran
    assert cluster.primary.password not in ran.out + ran.err
    connection = await asyncpg.connect(cluster.primary.dsn_of("fresh"))
    assert await connection.fetchval("SELECT count(*) FROM trust_head") == 1
    await connection.close()
