"""Commands that replace a secret say what becomes of the former one, and it is so."""

from datetime import UTC, datetime

import pytest

from tests.e2e.test_cli_admin import register
from tests.support.command_line import CommandLine
from tests.support.servers import ServerProcess
from tests.support.world import World

Served = tuple[World, ServerProcess]


def told(cli: CommandLine, *arguments: str, stdin: str = "") -> str:
    """Run a command that must succeed; what it says beside its result."""
    ran = cli.run(*arguments, stdin=stdin)
    assert ran.code == 0, ran
    return ran.err


def test_a_secret_that_was_collected_again_ends_the_former_one(
    cli: CommandLine, served: Served
) -> None:
    client_id, registration = register(cli)
    cli.ok("client", "review", client_id, "--approve")
    collect = ("client", "collect", client_id, "-")
    first = cli.json(*collect, stdin=registration)["client_secret"]
    ran = cli.run(*collect, "--json", stdin=registration)
    assert "one that was collected before by another request id has ended" in ran.err
    former = cli.with_variables(server=served[1].address, client_id=client_id, client_secret=first)
    assert former.refused("client", "show") == "CALLER_UNAUTHENTICATED"


def test_a_rotated_secret_works_until_the_time_that_is_told(
    cli: CommandLine, served: Served
) -> None:
    world, server = served
    secret = world.clients["demo-api"]
    own = cli.with_variables(server=server.address, client_id="demo-api", client_secret=secret)
    ran = own.run("client", "rotate", "--overlap", "1h")
    time = ran.err.strip().rpartition("works until ")[2]
    left = datetime.strptime(time, "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=UTC) - datetime.now(UTC)
    assert 3_500 < left.total_seconds() <= 3_601
    assert own.json("client", "show")["client_id"] == "demo-api"
    assert "no former one works" in told(own, "client", "rotate", "--overlap", "0s")
    assert own.refused("client", "show") == "CALLER_UNAUTHENTICATED"


def test_a_password_that_was_set_ends_the_former_one(cli: CommandLine) -> None:
    cli.ok("user", "create", "dora", "--password-file", "-", stdin="first password")
    said = told(cli, "user", "password", "dora", stdin="second password")
    assert "the former password is refused from now on" in said
    former = cli.with_variables(password="first password")
    assert former.refused("token", "issue", "--user", "dora") == "CREDENTIALS_INVALID"


def test_a_newer_verification_code_ends_the_former_one(cli: CommandLine) -> None:
    issue = ("code", "issue", "--purpose", "mail", "--recipient", "dora@example.com")
    code = cli.json(*issue, "--kind", "verification")["code"]
    assert "a former code for this purpose and recipient has ended" in told(
        cli, *issue, "--kind", "verification"
    )
    redeem = ("code", "redeem", "--purpose", "mail", "--recipient", "dora@example.com", "-")
    assert cli.refused(*redeem, stdin=code) == "CODE_UNKNOWN"
    assert "former" not in told(cli, *issue, "--kind", "coupon")


def test_an_exchanged_token_is_said_to_be_spent(cli: CommandLine) -> None:
    session = cli.ok("token", "issue", "--user", "alice", "--only", "session")
    assert "presented again, it ends the session" in told(cli, "token", "exchange", stdin=session)
    assert cli.refused("token", "exchange", stdin=session) == "TOKEN_REUSED"


@pytest.mark.parametrize(
    ("purpose", "rotated", "compromised"),
    [
        ("signing", "accepted until they expire", "its tokens have ended"),
        ("opaque", "accepted until they expire", "its tokens have ended"),
        ("mint", "sessions of the former key go on", "the sessions have ended"),
        ("pepper", "secrets and codes under the former pepper work on", "nothing has ended"),
    ],
)
def test_a_replaced_key_is_told_with_what_it_made(
    cli: CommandLine, purpose: str, rotated: str, compromised: str
) -> None:
    [former] = cli.json("keys", "list", "--purpose", purpose)
    assert rotated in told(cli, "keys", "rotate", purpose)
    assert compromised in told(cli, "keys", "compromise", former["kid"], "--yes")
