"""Help texts on a terminal of 80 columns: nothing that is there to be copied is cut."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from token_service.cli import variables
from token_service.cli.main import app
from token_service.config import settings_table

Words = tuple[str, ...]


def commands(command: Any, words: Words = ()) -> Iterator[Words]:
    """The words that call each command and each group, the program itself included."""
    yield words
    for name in command.list_commands(None) if hasattr(command, "list_commands") else ():
        yield from commands(command.get_command(None, name), (*words, name))


@cache
def help_of(words: Words) -> str:
    ran = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"})
    assert ran.exit_code == 0, ran
    return ran.stdout


def found(words: Words) -> Any:
    command = PROGRAM
    for word in words:
        command = command.get_command(None, word)
    return command


PROGRAM: Any = get_command(app)
ALL = list(commands(PROGRAM))
SETTINGS = frozenset(re.findall(r"TOKEN_SERVICE_[A-Z0-9_]+", settings_table()))


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_nothing_is_cut_at_80_columns(words: Words) -> None:
    text = help_of(words)
    assert "\u2026" not in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_each_variable_stands_whole_on_a_line_of_its_own(words: Words) -> None:
    text = help_of(words)
    shown = [line.strip(" \u2502") for line in text.splitlines() if "TOKEN_SERVICE_" in line]
    names = [re.fullmatch(r"env: (TOKEN_SERVICE_[A-Z_]+)", line) for line in shown]
    assert all(names), shown
    assert {name[1] for name in names if name} <= variables.OF_THE_COMMAND_LINE | SETTINGS
    for parameter in found(words).params:
        if parameter.envvar:
            assert f"env: {parameter.envvar} " in text


@pytest.mark.parametrize(
    ("words", "fate"),
    {
        "client register": "ends when the client first calls",
        "client collect": "the former one ends at once",
        "client rotate": "former ones work on for --overlap, 24 hours",
        "client bootstrap": "replaces the former one, which ends at once",
        "client disable": "secrets are kept, and refused",
        "client enable": "with the secrets that it had",
        "user password": "former one and all sessions of the user end at once",
        "user enable": "with the password as it was",
        "keys rotate": "its tokens until they expire",
        "keys compromise": "none of its tokens is accepted any more",
        "code issue": "ends the former one of the same purpose and recipient at once",
        "code revoke": "refused from now on",
        "token exchange": "spent at once",
        "token reauthenticate": "spent as by",
        "restore-fence": "Client secrets and passwords are those of the backup",
    }.items(),
)
def test_what_replaces_or_ends_a_secret_says_what_becomes_of_it(words: str, fate: str) -> None:
    assert fate in " ".join(help_of(tuple(words.split())).split())


def test_there_are_commands_to_look_at() -> None:
    assert {("serve",), ("client", "bootstrap"), ("token", "issue")} <= set(ALL)
    assert "env: TOKEN_SERVICE_CLIENT_SECRET_FILE " in help_of(("client", "list"))
