"""Tokens on the command line: obtained, exchanged, checked and revoked by real calls."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import CommandLine
from tests.support.servers import ServerProcess
from tests.support.waiting import PATIENCE
from tests.support.world import World

Served = tuple[World, ServerProcess]


def login(cli: CommandLine, *options: str) -> Any:
    return cli.json("token", "issue", "--user", "alice", *options)["tokens"]


def exchange(cli: CommandLine, token: str, *options: str) -> Any:
    return cli.json("token", "exchange", *options, stdin=token)


def verdict(cli: CommandLine, token: str, *options: str) -> tuple[int, str]:
    ran = cli.run("token", "validate", "--audience", "orders", *options, stdin=token)
    return ran.code, ran.out.splitlines()[0].split()[1]


def test_a_login_is_checked_exchanged_once_and_lost_by_reuse(cli: CommandLine) -> None:
    first = login(cli, "--audience", "orders", "--device-id", "laptop")
    access = first["access_tokens"][0]["token"]
    assert verdict(cli, access) == (0, "active")

    done = exchange(cli, first["session_token"])
    again = exchange(cli, first["session_token"], "--exchange-id", done["exchange_id"])
    assert (done["replayed"], again["replayed"]) == (False, True)
    assert again["tokens"]["session_token"] == done["tokens"]["session_token"]

    assert cli.refused("token", "exchange", stdin=first["session_token"]) == "TOKEN_REUSED"
    assert verdict(cli, access) == (1, "revoked")


def test_one_token_is_piped_from_command_to_command(cli: CommandLine) -> None:
    session = cli.ok("token", "issue", "--user", "alice", "--only", "session")
    access = cli.ok("token", "exchange", "-", "--only", "access", stdin=session)
    audience = cli.run("token", "validate", stdin=access)
    assert audience.code == 0
    assert "asking for the audience orders" in audience.err


def test_the_exchange_id_is_told_before_the_call(cli: CommandLine) -> None:
    ran = cli.run("token", "exchange", stdin="tsk_web_nonsense")
    assert ran.code == 1
    assert "exchange id" in ran.err.splitlines()[0]
    assert "TOKEN_MALFORMED" in ran.err.splitlines()[1]


def test_a_rolling_token_is_exchanged_by_the_client_that_it_names(cli: CommandLine) -> None:
    rolling = login(cli, "--as", "demo-rolling", "--audience", "orders")
    assert rolling["session_token"] == ""
    token = rolling["access_tokens"][0]["token"]
    successor = exchange(cli, token)["tokens"]["access_tokens"][0]["token"]
    assert successor != token
    assert "(redacted)" in cli.ok("token", "inspect", stdin=successor)


def test_an_opaque_token_needs_its_audience_named(cli: CommandLine) -> None:
    tokens = login(cli, "--as", "demo-opaque", "--audience", "orders")
    token = tokens["access_tokens"][0]["token"]
    assert verdict(cli, token) == (0, "active")
    ran = cli.run("token", "validate", stdin=token)
    assert ran.code == 2
    assert "--audience" in ran.err


def test_a_client_logs_itself_in_with_credentials_from_the_environment(
    cli: CommandLine, served: Served, tmp_path: Path
) -> None:
    world, server = served
    secret = tmp_path / "secret"
    secret.write_text(world.clients["demo-api"])
    own = CommandLine(tmp_path / "nothing here").with_variables(
        server=server.address, client_id="demo-api", client_secret_file=str(secret)
    )
    tokens = own.json("token", "issue")["tokens"]
    assert tokens["session_kind"] == "TOKEN_KIND_API_SESSION"
    wrong = own.with_variables(client_id="demo-web")
    assert wrong.refused("token", "issue") == "CALLER_UNAUTHENTICATED"


def test_a_fresh_password_makes_the_login_recent(cli: CommandLine) -> None:
    session = login(cli)["session_token"]
    wrong = cli.with_variables(password="not the password")
    arguments = ("token", "reauthenticate", "--user", "alice")
    assert wrong.refused(*arguments, stdin=session) == "CREDENTIALS_INVALID"
    tokens = cli.json(*arguments, "--audience", "orders", stdin=session)["tokens"]
    access = tokens["access_tokens"][0]["token"]
    assert verdict(cli, access, "--max-auth-age", "1m", "--required-acr", "aal1") == (0, "active")
    assert verdict(cli, access, "--required-acr", "aal3") == (1, "step_up_required")
    assert verdict(cli, access, "--scope", "admin") == (1, "insufficient_scope")


def test_too_many_wrong_passwords_say_when_to_come_back(cli: CommandLine) -> None:
    arguments = ("token", "issue", "--user", "nobody", "--password-file", "-")
    for _ in range(3):
        assert cli.refused(*arguments, stdin="wrong password") == "CREDENTIALS_INVALID"
    ran = cli.run(*arguments, stdin="wrong password")
    assert ran.code == 1
    assert ran.err.startswith("ACCOUNT_LOCKED")
    assert "try again in" in ran.err


def test_a_token_is_revoked_and_the_answer_knows_of_it(cli: CommandLine) -> None:
    tokens = login(cli, "--audience", "orders")
    access = tokens["access_tokens"][0]["token"]
    revoked = cli.json("token", "revoke", "--as", "demo-web", stdin=tokens["session_token"])
    assert revoked["revoked_sessions"] == 1
    assert verdict(cli, access, "--min-revision", revoked["revision"]) == (1, "revoked")


def test_the_device_of_a_user_is_revoked_and_no_other(cli: CommandLine) -> None:
    lost = login(cli, "--audience", "orders", "--device-id", "lost")["access_tokens"][0]["token"]
    kept = login(cli, "--audience", "orders", "--device-id", "kept")["access_tokens"][0]["token"]
    alice = cli.json("user", "show", "alice")["user_id"]
    where = ("--subject", alice, "--device-id", "lost")
    cli.ok("token", "revoke", *where, "--reason", "lost-device", "--note", "left on a train")
    assert verdict(cli, lost) == (1, "revoked")
    assert verdict(cli, kept) == (0, "active")


def test_whoever_is_revoked_may_be_named(cli: CommandLine) -> None:
    access = login(cli, "--audience", "orders")["access_tokens"][0]["token"]
    ran = cli.run("token", "revoke", "--subject", "alice")
    assert ran.code == 0
    assert "alice is the user " in ran.err
    assert verdict(cli, access) == (1, "revoked")
    assert cli.json("session", "list", "--subject", "alice") == []
    mistyped = cli.run("session", "list", "--subject", "alise")
    assert "no user is called alise" in mistyped.err

    named = cli.json("client", "register", "--name", "Orders App", "--contact", "ops")["client_id"]
    ran = cli.run("token", "revoke", "--client", "orders app")
    assert (ran.code, "revoked_sessions" in ran.out) == (0, False)
    assert f"orders app is the client {named}" in ran.err
    cli.ok("client", "register", "--name", "orders app", "--contact", "ops")
    ran = cli.run("token", "revoke", "--client", "orders app")
    assert ran.code == 2
    assert named in ran.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--subject", "nobody"), "USER_NOT_FOUND"),
        (("--subject", "nobody", "--device-id", "laptop"), "USER_NOT_FOUND"),
        (("--subject", "b47ac10b-58cc-4372-a567-0e02b2c3d479"), "USER_NOT_FOUND"),
        (("--client", "nobody"), "CLIENT_NOT_FOUND"),
        (("--session", "b47ac10b-58cc-4372-a567-0e02b2c3d479"), "SESSION_NOT_FOUND"),
        (("--key", "0123456789abcdef", "--yes"), "KEY_NOT_FOUND"),
    ],
)
def test_nobody_is_not_revoked_in_silence(
    cli: CommandLine, options: tuple[str, ...], reason: str
) -> None:
    assert cli.refused("token", "revoke", *options) == reason


def test_a_revocation_that_ends_no_session_says_so(cli: CommandLine) -> None:
    tokens = login(cli, "--device-id", "laptop")
    mistyped = cli.run("token", "revoke", "--subject", "alice", "--device-id", "labtop")
    assert mistyped.code == 1
    assert "no session ended" in mistyped.err
    nonsense = cli.run("token", "revoke", stdin=tokens["session_token"][:-1])
    assert nonsense.code == 1
    assert "not a token" in nonsense.err

    own = ("--as", "demo-web")
    access = cli.run("token", "revoke", *own, stdin=tokens["access_tokens"][0]["token"])
    assert access.code == 0
    assert "its session, if it is live, goes on" in access.err
    cli.ok("token", "revoke", *own, stdin=tokens["session_token"])
    for again in (("token", "revoke", "--session"), ("session", "revoke")):
        ran = cli.run(*again, tokens["session_id"])
        assert ran.code == 1
        assert "no session ended" in ran.err


def test_a_caller_that_may_not_look_names_up_gives_ids(
    cli: CommandLine, served: Served, tmp_path: Path
) -> None:
    alice = cli.json("user", "show", "alice")["user_id"]
    policy = tmp_path / "policy.json"
    policy.write_text('{"permissions": ["tokens.revoke_any"]}')
    revoker = _client_with(cli, policy)
    secret = tmp_path / "secret"
    secret.write_text(revoker["client_secret"])
    limited = CommandLine(tmp_path / "nothing here").with_variables(
        server=served[1].address, client_id=revoker["client_id"], client_secret_file=str(secret)
    )
    login(cli)
    assert limited.refused("token", "revoke", "--subject", "alice") == "USER_NOT_FOUND"
    assert int(limited.json("token", "revoke", "--subject", alice)["revoked_sessions"]) >= 1


def _client_with(cli: CommandLine, policy: Path) -> Any:
    """A client that the demo administrator did not register itself, so that it may review it."""
    asked = ("--name", "Revoker", "--contact", "ops", "--policy", str(policy))
    registered = cli.json("client", "register", *asked)
    cli.ok("client", "review", registered["client_id"], "--approve")
    return cli.json(
        "client", "collect", registered["client_id"], stdin=registered["registration_secret"]
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--session", "a", "--client", "b"), "one thing"),
        (("--device-id", "d"), "--subject"),
        (("--everything",), "--yes"),
    ],
)
def test_a_muddled_revocation_is_not_sent(
    cli: CommandLine, options: tuple[str, ...], message: str
) -> None:
    ran = cli.run("token", "revoke", *options)
    assert ran.code == 2
    assert message in ran.err


def test_a_token_is_read_without_a_server(tmp_path: Path, cli: CommandLine) -> None:
    tokens = login(cli, "--audience", "orders")
    access = tokens["access_tokens"][0]["token"]
    alone = CommandLine(tmp_path / "nothing here")
    described = alone.json("token", "inspect", stdin=access)
    assert described["well_formed"] is True
    assert described["claims"]["aud"] == "orders"
    assert access.rpartition(".")[2] not in alone.ok("token", "inspect", stdin=access)
    described = alone.json("token", "inspect", stdin=tokens["session_token"])
    assert described["kind"] == "web_session"
    assert alone.run("token", "inspect", stdin="nonsense").code == 1


def test_a_token_among_the_arguments_is_refused(cli: CommandLine) -> None:
    token = login(cli)["session_token"]
    ran = cli.run("token", "exchange", token)
    assert ran.code == 2
    assert token not in ran.err


def test_sessions_are_listed_shown_and_ended(cli: CommandLine) -> None:
    keep = login(cli)
    named = ("--device-id", "phone", "--device-name", "Alice's phone")
    other = login(cli, "--platform", "mobile", *named)
    token_file = cli.folder / "token"
    token_file.write_text(keep["session_token"])
    source = ("--token-file", str(token_file))
    listed = {one["session_id"]: one for one in cli.json("session", "list", *source)}
    assert keep["session_id"] in listed
    shown = cli.json("session", "show", other["session_id"])
    assert (shown["platform"], shown["device"]["device_id"]) == ("PLATFORM_MOBILE", "phone")
    assert shown["device"]["name"] == "Alice's phone"

    ended = cli.json("session", "revoke", other["session_id"], "--reason", "administrative")
    assert ended["revoked_sessions"] == 1
    assert ended["session"]["revoked_reason"] == "REVOCATION_REASON_ADMINISTRATIVE"
    login(cli)
    assert cli.json("session", "revoke-others", *source)["revoked_sessions"] >= 1
    [left] = cli.json("session", "list", "--subject", shown["subject"])
    assert left["session_id"] == keep["session_id"]
    assert cli.refused("session", "show", keep["session_id"][::-1]) == "FIELD_INVALID"


def test_revocations_are_watched_as_they_come(cli: CommandLine) -> None:
    tokens = login(cli)
    command = [sys.executable, "-u", "-m", "token_service", "trust", "watch"]
    with subprocess.Popen(
        command, env=cli.process_environment(), stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        assert "snapshot of log" in watching.stdout.readline()
        cli.ok("token", "revoke", "--session", tokens["session_id"])
        seen = next(line for line in watching.stdout if tokens["session_id"] in line)
        watching.send_signal(signal.SIGINT)
        assert watching.wait(PATIENCE) == 0
    assert f"revoke session {tokens['session_id']} (logout)" in seen


def test_the_feed_ends_at_a_revision_for_scripts(cli: CommandLine) -> None:
    revision = cli.json("token", "revoke", stdin=login(cli)["session_token"])["revision"]
    out = cli.ok("trust", "watch", "--until-revision", revision, "--json")
    assert len(out.splitlines()) >= 1
    assert f'"revision": "{revision}"' in out


def test_a_server_that_is_not_there_is_told_so(cli: CommandLine) -> None:
    gone = cli.with_variables(server="127.0.0.1:1", client_id="x", client_secret="y")
    ran = gone.run("keys", "list")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("UNAVAILABLE")


def test_the_header_for_other_programs_authenticates(cli: CommandLine, served: Served) -> None:
    header = cli.ok("credentials", "header", "--as", "demo-gateway")
    assert header.startswith("Basic ")
    assert cli.json("credentials", "header", "--as", "demo-gateway") == {
        "authorization": header.strip()
    }
    assert cli.ok("credentials", "password").strip() == served[0].password
