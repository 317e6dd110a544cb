"""The service behind a real pooler, named by its mode or not named at all."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine
from tests.support.fixtures import StartServer
from tests.support.pgbouncer import PgBouncer
from tests.support.store_fixtures import StartPgBouncer
from tests.support.waiting import patience
from tests.support.world import World
from token_service.adapters.postgres.connecting import Pooler, Source
from token_service.adapters.postgres.pool import Database
from token_service.app.database import open_database
from token_service.app.errors import StartupError

pytestmark = pytest.mark.stores

MODES = ["session", "transaction"]


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def pooler(mode: str, dsn: str, start_pgbouncer: StartPgBouncer) -> PgBouncer:
    shared = {"default_pool_size": "2"} if mode == "transaction" else {}
    return start_pgbouncer(dsn, mode=mode, **shared)


@pytest.fixture
async def database(dsn: str, mode: str, pooler: PgBouncer) -> AsyncIterator[Database]:
    """Its four connections share two of the server's where transactions are pooled."""
    source = Source(text=pooler.dsn, pooler=Pooler(mode))
    database = await Database.open(source, direct=Source(text=dsn), size=4)
    yield database
    await database.close()


async def test_statements_and_transactions_go_through(database: Database) -> None:
    await database.execute("CREATE TABLE kept (n int, said jsonb)")

    async def keep(number: int) -> None:
        async with database.transaction() as conn:
            said = {"number": number}
            await conn.execute("INSERT INTO kept VALUES ($1, $2)", number, said)
            row = await conn.fetchrow("SELECT said FROM kept WHERE n = $1", number)
            assert row is not None
            assert row["said"] == said

    async def add(number: int) -> None:
        row = await database.fetchrow("SELECT $1::int + 1 AS n, $2::text AS t", number, "x")
        assert row is not None
        assert row["n"] == number + 1

    await asyncio.gather(*(keep(n) for n in range(40)), *(add(n) for n in range(40)))
    rows = await database.fetch("SELECT n FROM kept ORDER BY n")
    assert [row["n"] for row in rows] == list(range(40))


async def test_a_transaction_has_its_limits(database: Database, mode: str) -> None:
    limits = "SELECT current_setting('statement_timeout'), current_setting('jit')"
    async with database.transaction() as conn:
        assert tuple(await conn.fetchrow(limits) or ()) == ("3s", "off")
    row = await database.fetchrow(limits)
    assert tuple(row or ()) == (("3s", "off") if mode == "session" else ("0", "on"))


async def test_what_needs_a_session_goes_past_the_pooler(database: Database) -> None:
    conn = await database.connect("listener")
    told = asyncio.Event()
    await conn.add_listener("news", lambda *_: told.set())
    await database.execute("SELECT pg_notify('news', 'x')")
    async with patience():
        await told.wait()
    assert await conn.fetchval("SELECT pg_backend_pid()") == conn.get_server_pid()
    await conn.close()


async def test_a_pooler_that_is_not_named_is_met_with_the_settings_name(pooler: PgBouncer) -> None:
    with pytest.raises(StartupError) as caught:
        await open_database(Source(text=pooler.dsn), "test", size=1, call_timeout=5.0)
    assert "set TOKEN_SERVICE_POSTGRES_POOLER to" in str(caught.value)
    assert str(caught.value).startswith("TOKEN_SERVICE_POSTGRES_DSN: a pooler")


async def test_a_pooler_that_lets_all_pass_is_met_as_well(
    dsn: str, mode: str, start_pgbouncer: StartPgBouncer
) -> None:
    ignored = "statement_timeout,idle_in_transaction_session_timeout,jit"
    pooler = start_pgbouncer(dsn, mode=mode, ignore_startup_parameters=ignored)
    with pytest.raises(StartupError, match="set TOKEN_SERVICE_POSTGRES_POOLER to"):
        await open_database(Source(text=pooler.dsn), "test", size=1, call_timeout=5.0)


def test_a_pooler_that_is_named_by_the_wrong_mode_is_met_with_the_settings_name(
    world: World, start_pgbouncer: StartPgBouncer, tmp_path: Path
) -> None:
    pooler = start_pgbouncer(world.dsn, mode="transaction", default_pool_size="1")
    settings = world.environment(postgres_dsn=pooler.dsn, postgres_pooler="session")
    operator = CommandLine(tmp_path, settings)
    operator.run_apart("doctor")  # its statements stay with the pooler's one connection
    for command in ("doctor", "serve"):
        ran = operator.run_apart(command)
        assert ran.code == 1
        assert "set TOKEN_SERVICE_POSTGRES_POOLER to the pooler's mode" in ran.out + ran.err
        assert "Traceback" not in ran.err


def test_a_service_runs_behind_it(
    world: World,
    mode: str,
    start_pgbouncer: StartPgBouncer,
    start_server: StartServer,
    tmp_path: Path,
) -> None:
    pooler = start_pgbouncer(world.dsn, mode=mode)
    settings = {"postgres_dsn": pooler.dsn, "postgres_pooler": mode}
    if mode == "transaction":
        settings["postgres_direct_dsn"] = world.dsn
    names = {
        name.removeprefix("TOKEN_SERVICE_"): text
        for name, text in world.environment(**settings).items()
    }
    operator = CommandLine(tmp_path).with_variables(**names)
    assert operator.run("migrate").code == 0
    operator.ok("restore-fence", "--yes")
    report = json.loads(operator.run("doctor", "--json").out)
    found = {check["name"]: check["status"] for check in report["checks"]}
    assert (found["postgres role"], found["migrations"]) == ("ok", "ok")
    server = start_server(**settings)
    client = CommandLine(tmp_path).with_variables(
        server=server.address,
        client_id="demo-web",
        client_secret=world.clients["demo-web"],
        password=world.password,
    )
    issue = ("token", "issue", "--user", world.username, "--audience", "orders")
    tokens = client.json(*issue)["tokens"]
    for _ in range(3):
        tokens = client.json("token", "exchange", stdin=tokens["session_token"])["tokens"]
    client.ok("token", "revoke", stdin=tokens["session_token"])
    gone = client.run("token", "exchange", stdin=tokens["session_token"])
    assert "TOKEN_REVOKED" in gone.err
    assert server.terminate() == 0
    assert not [line for line in server.output if "Traceback" in line]


def test_transactions_of_a_pooler_need_a_way_past_it(world: World, tmp_path: Path) -> None:
    operator = CommandLine(tmp_path).with_variables(
        postgres_dsn=world.dsn, postgres_pooler="transaction"
    )
    ran = operator.run("migrate")
    assert ran.code == 2
    assert "TOKEN_SERVICE_POSTGRES_DIRECT_DSN: is needed where" in ran.err
