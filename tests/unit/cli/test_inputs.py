"""Secrets come from stdin, files, the environment or a prompt, and never from arguments."""

import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from token_service.cli import inputs, variables
from token_service.cli.problems import CliError
from tokenservice import ClientPolicy, Platform

JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (variables.TOKEN, variables.PASSWORD):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_a_token_is_read_from_stdin_without_the_blanks_around_it(
    stdin: Callable[[str], None],
) -> None:
    stdin(f"  {JWT}\n")
    assert inputs.read_token("-") == JWT
    stdin(f"{JWT}\n")
    assert inputs.read_token(None) == JWT


def test_a_password_keeps_its_blanks_and_loses_one_newline(stdin: Callable[[str], None]) -> None:
    stdin(" two words \r\n")
    assert inputs.read_password("-") == " two words "


def test_a_secret_may_be_in_a_file_or_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stdin: Callable[[str], None]
) -> None:
    stdin("not this")
    path = tmp_path / "token"
    path.write_text(f"{JWT}\n")
    assert inputs.read_token(str(path)) == JWT
    monkeypatch.setenv(variables.TOKEN, "from the environment")
    assert inputs.read_token(None) == "from the environment"


@pytest.mark.parametrize("token", [JWT, JWT + 300 * "A", "tsk_web_AAAA", "tsk_cs_AAAA"])
def test_a_token_among_the_arguments_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(CliError) as caught:
        inputs.read_token(token)
    assert "argument" in caught.value.message
    assert token not in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="no-such-file"):
        inputs.read_token(str(tmp_path / "no-such-file"))


def test_nothing_on_stdin_names_the_ways(stdin: Callable[[str], None]) -> None:
    stdin("\n")
    with pytest.raises(CliError, match="TOKEN_SERVICE_PASSWORD"):
        inputs.read_password(None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90", 90), ("90s", 90), ("1.5s", 1.5), ("15m", 900), ("24h", 86_400)],
)
def test_durations(text: str, seconds: float) -> None:
    assert inputs.duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "m", "-5s", "5 m", "5w", "1e3", "9" * 20])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(CliError, match="not a duration"):
        inputs.duration(text)


def test_an_exchange_id_is_drawn_or_repeated() -> None:
    drawn = inputs.exchange_id(None)
    assert len(drawn) == 16
    assert drawn != inputs.exchange_id(None)
    assert inputs.exchange_id(drawn.hex()) == drawn


@pytest.mark.parametrize("text", ["", "zz", "00", "00" * 17])
def test_a_wrong_exchange_id_is_refused(text: str) -> None:
    with pytest.raises(CliError, match="32 hexadecimal digits"):
        inputs.exchange_id(text)


def test_a_policy_is_read_from_json(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"platforms": ["PLATFORM_WEB"], "password_login": true}')
    policy = inputs.read_policy(str(path))
    assert policy == ClientPolicy(platforms=(Platform.WEB,), password_login=True)
    path.write_text('{"no_such_field": 1}')
    with pytest.raises(CliError, match="no_such_field"):
        inputs.read_policy(str(path))


def test_a_moment_has_a_zone() -> None:
    assert inputs.moment("2027-01-31T00:00:00Z") == datetime(2027, 1, 31, tzinfo=UTC)
    for text in ("tomorrow", "2027-01-31T00:00:00"):
        with pytest.raises(CliError, match="not a time"):
            inputs.moment(text)


def test_what_cannot_be_undone_needs_a_word(
    monkeypatch: pytest.MonkeyPatch, stdin: Callable[[str], None]
) -> None:
    inputs.confirm("Really?", yes=True)
    stdin("y\n")
    with pytest.raises(CliError, match="--yes"):
        inputs.confirm("Really?", yes=False)
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    with pytest.raises(CliError, match="nothing was done"):
        inputs.confirm("Really?", yes=False)
