"""Commands that work on the stores themselves, and those that start the service."""

import json
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.conftest import Stores
from tests.support.command_line import CommandLine
from tests.support.fixtures import StartServer
from tests.support.world import World
from token_service.adapters.crypto.configured_secrets import SecretKeys


@pytest.fixture
def operator(world: World, tmp_path: Path) -> CommandLine:
    """The command line with the environment of a server."""
    prefix = "TOKEN_SERVICE_"
    variables = world.environment()
    return CommandLine(tmp_path).with_variables(
        **{name.removeprefix(prefix).lower(): text for name, text in variables.items()}
    )


def as_client(client_id: str, secret: str, address: str, folder: Path) -> CommandLine:
    return CommandLine(folder).with_variables(
        server=address, client_id=client_id, client_secret=secret
    )


def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path: Path) -> None:
    operator = CommandLine(tmp_path).with_variables(
        postgres_dsn="postgres://user:canary-password@127.0.0.1:1/none"
    )
    ran = operator.run("migrate")
    assert ran.code == 1
    assert "canary-password" not in ran.err
    assert ran.err


def test_the_first_administrator_lets_the_others_in(
    operator: CommandLine, start_server: StartServer, tmp_path: Path
) -> None:
    ran = operator.run("client", "bootstrap", "--client-id", "root-admin", "--json")
    created = json.loads(ran.out)
    assert "not shown again; one that was printed before has ended" in ran.err
    server = start_server()
    admin = as_client("root-admin", created["client_secret"], server.address, tmp_path)
    shown = admin.json("client", "show")
    assert "admin.clients" in shown["policy"]["permissions"]
    # Used now: a second bootstrap of the same id must not take it over.
    again = operator.run("client", "bootstrap", "--client-id", "root-admin")
    assert (again.code, again.out) == (1, "")
    assert "CLIENT_STATE" in again.err
    assert operator.run("client", "bootstrap", "--client-id", "Not An Id").code == 1


def test_after_a_restore_everyone_logs_in_again(
    operator: CommandLine, world: World, start_server: StartServer, tmp_path: Path
) -> None:
    server = start_server()
    web = as_client("demo-web", world.clients["demo-web"], server.address, tmp_path)
    gateway = as_client("demo-gateway", world.clients["demo-gateway"], server.address, tmp_path)
    logged_in = web.with_variables(password=world.password).json(
        *("token", "issue", "--user", "alice", "--audience", "orders")
    )["tokens"]
    access = logged_in["access_tokens"][0]["token"]
    check = ("token", "validate", "--audience", "orders")
    assert gateway.run(*check, stdin=access).code == 0

    assert operator.run("restore-fence").code == 2  # nobody to ask
    revision = operator.json("restore-fence", "--above", "5000000", "--yes")["revision"]
    assert revision > 5_000_000
    assert gateway.run(*check, "--min-revision", str(revision), stdin=access).code == 1
    exchanged = web.run("token", "exchange", "--json", stdin=logged_in["session_token"])
    assert "TOKEN_REVOKED" in exchanged.err


def test_a_database_that_cannot_be_fenced_is_told(
    embedded: Stores, operator: CommandLine, world: World
) -> None:
    parts = urlsplit(world.dsn)
    user = parts._replace(netloc=f"canary-user:canary-pw@{parts.netloc.rpartition('@')[2]}")
    empty = embedded.postgres.create_database("cli_unfenced")
    try:
        for dsn, why in ((user.geturl(), "28P01"), (empty, "not migrated")):
            there = operator.with_variables(postgres_dsn=dsn)
            ran = there.run("restore-fence", "--above", "1", "--yes")
            assert (ran.code, ran.out) == (2, "")
            assert ran.err.startswith("TOKEN_SERVICE_POSTGRES_DSN: ")
            assert why in ran.err
            assert "canary" not in ran.err
    finally:
        embedded.postgres.drop_database("cli_unfenced")


def test_it_tells_its_version(operator: CommandLine) -> None:
    assert operator.run("--version").out == f"token-service {version('token-service')}\n"


def test_the_doctor_finds_what_is_wrong(operator: CommandLine, world: World) -> None:
    ran = operator.run("doctor", "--json")
    report = json.loads(ran.out)
    found = {check["name"]: check for check in report["checks"]}
    # The database of the tests runs without fsync, for speed.
    assert (ran.code, report["healthy"]) == (1, False)
    assert found["durability"]["status"] == "fail"
    assert "fsync" in found["durability"]["advice"]
    for name in (
        "postgres role",
        "migrations",
        "trust log",
        "secret keys",
        "key signing EdDSA",
        "client policies",
    ):
        assert found[name]["status"] == "ok", found[name]
    assert found["redis"]["status"] == "ok"
    assert world.secret_keys.partition(":")[2] not in ran.out
    for_people = operator.run("doctor").out
    assert found["durability"]["advice"] in for_people
    assert f"secret {world.secret_keys.partition(':')[0]}" in for_people


def test_the_doctor_misses_a_secret_that_keys_need(operator: CommandLine) -> None:
    stranger = operator.with_variables(secret_keys=SecretKeys.generate_text())
    report = json.loads(stranger.run("doctor", "--json").out)
    [found] = [check for check in report["checks"] if check["name"] == "secret keys"]
    assert found["status"] == "fail"
    assert "is missing" in found["detail"]


async def test_the_doctor_sees_a_log_ahead_of_its_head(operator: CommandLine, world: World) -> None:
    connection = await asyncpg.connect(world.dsn)
    await connection.execute("INSERT INTO trust_log SELECT 9, 3, 'x', '', 1, 1, clock_timestamp()")
    await connection.close()
    checks = json.loads(operator.run_apart("doctor", "--json").out)["checks"]
    [found] = [check for check in checks if check["name"] == "trust log"]
    assert found["status"] == "fail"
    assert "restore-fence" in found["advice"]


def test_the_doctor_works_without_redis_and_says_when_it_is_gone(operator: CommandLine) -> None:
    gone = operator.with_variables(redis_url="redis://:canary-secret@127.0.0.1:1/0")
    ran = gone.run("doctor", "--json")
    [found] = [check for check in json.loads(ran.out)["checks"] if check["name"] == "redis"]
    assert found["status"] == "fail"
    assert "canary-secret" not in ran.out
    without = operator.with_variables(redis_url="")
    report = json.loads(without.run("doctor", "--json").out)
    [found] = [check for check in report["checks"] if check["name"] == "redis"]
    assert found["status"] == "warn"


def test_the_doctor_names_unusable_settings(tmp_path: Path) -> None:
    ran = CommandLine(tmp_path).with_variables(postgres_dsn="postgres://x").run("doctor")
    assert ran.code == 1
    assert "TOKEN_SERVICE_SECRET_KEYS" in ran.out


@pytest.mark.parametrize("name", ["POSTGRES_DSN", "SECRET_KEYS", "ISSUER"])
def test_serving_without_a_setting_names_it_before_any_port_opens(
    operator: CommandLine, name: str
) -> None:
    ran = operator.with_variables(**{name.lower(): ""}).run_apart("serve")
    assert (ran.code, ran.out) == (2, "")
    assert f"TOKEN_SERVICE_{name}: is required" in ran.err


def test_an_unmigrated_database_is_not_served(embedded: Stores, operator: CommandLine) -> None:
    dsn = embedded.postgres.create_database("cli_unmigrated")
    try:
        ran = operator.with_variables(postgres_dsn=dsn).run_apart("serve")
        assert ran.code == 2
        assert "token-service migrate" in ran.err
    finally:
        embedded.postgres.drop_database("cli_unmigrated")


def test_a_database_that_is_down_is_not_served(operator: CommandLine) -> None:
    ran = operator.with_variables(postgres_dsn="postgres://u:canary-pw@127.0.0.1:1/none").run_apart(
        "serve"
    )
    assert ran.code == 2
    assert "TOKEN_SERVICE_POSTGRES_DSN" in ran.err
    assert "canary-pw" not in ran.err
