"""What people give to commands: secrets (never as arguments), times, files."""

import re
import secrets
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from token_service.cli import variables
from token_service.cli.calling.target import from_environment
from token_service.cli.problems import CliError
from tokenservice.core.limits import EXCHANGE_ID_LENGTH

STDIN = "-"

if TYPE_CHECKING:
    from tokenservice import ClientPolicy

TokenSource = Annotated[
    str | None,
    typer.Argument(
        help=variables.read_by(
            "Where the token is: - for stdin, or a file. Left out: the variable, stdin or a "
            "prompt.",
            variables.TOKEN,
        )
    ),
]
PasswordSource = Annotated[
    str | None,
    typer.Option(
        "--password-file",
        help=variables.read_by(
            "- for stdin, or a file. Left out: the variable, stdin or a prompt.", variables.PASSWORD
        ),
    ),
]

_MAX_INPUT = 1024 * 1024  # characters
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd]?)")
_TOKEN_LIKE = re.compile(r"tsk_[a-z]+_.*|[\w-]+\.[\w-]+\.[\w-]+")


def read_token(source: str | None, prompt: str = "Token") -> str:
    """Read a token from `source`: `-` for stdin, a file's path, or None for what there is.

    None means TOKEN_SERVICE_TOKEN, else stdin where it is not a terminal, else a prompt.
    """
    return _read_secret(source, variables.TOKEN, prompt).strip()


def read_password(source: str | None, prompt: str = "Password", *, confirm: bool = False) -> str:
    """Read a password as `read_token` does (TOKEN_SERVICE_PASSWORD); only a newline at its end is
    taken off. `confirm` asks twice where it asks."""
    text = _read_secret(source, variables.PASSWORD, prompt, confirm=confirm)
    return text.removesuffix("\n").removesuffix("\r")


def read_code(source: str | None) -> str:
    """Read a one-time code as `read_token` does (TOKEN_SERVICE_CODE)."""
    if source is not None and source != STDIN and not _exists(Path(source)):
        raise CliError(
            "there is no such file; the code itself is no argument, which every user of this "
            "machine could see: give it on stdin (-) or in a file"
        )
    return _read_secret(source, variables.CODE, "Code").strip()


def _read_secret(source: str | None, variable: str, prompt: str, *, confirm: bool = False) -> str:
    if source == STDIN or (source is None and not _set(variable) and not sys.stdin.isatty()):
        text = sys.stdin.read(_MAX_INPUT)
    elif source is not None:
        text = _read_file(source, prompt)
    elif _set(variable):
        text = from_environment(variable)
    else:
        text = _prompted(prompt, confirm=confirm)
    if not text.strip():
        raise CliError(f"no {prompt.lower()}: give it on stdin, in a file or in {variable}")
    return text


def _set(variable: str) -> bool:
    return bool(from_environment(variable))


def _prompted(prompt: str, *, confirm: bool) -> str:
    answer: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
    return answer


def _read_file(source: str, what: str) -> str:
    path = Path(source)
    if _TOKEN_LIKE.fullmatch(source) and not _exists(path):
        raise CliError(
            f"the {what.lower()} itself was given as an argument, which every user of this "
            "machine can see: give it on stdin (-) or in a file"
        )
    try:
        return path.read_text()
    except OSError as error:
        raise CliError(f"cannot read the {what.lower()} from {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CliError(f"{path} is not text") from None


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a name that is too long for a file: the message would repeat it
        return False


def read_policy(source: str) -> "ClientPolicy":
    """Read a policy in its JSON form from a file, or stdin for `-`."""
    from tokenservice import policy_from_json

    text = sys.stdin.read(_MAX_INPUT) if source == STDIN else _read_file(source, "policy")
    try:
        return policy_from_json(text)
    except ValueError as error:
        raise CliError(f"policy: {error}") from None


def duration(text: str) -> timedelta:
    """Read `90s`, `15m`, `24h`, `7d` or plain seconds."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise CliError(f"not a duration: {text!r}; write 90s, 15m, 24h or 7d")
    return timedelta(milliseconds=round(float(match[1]) * _UNITS[match[2] or "s"] * 1000))


def moment(text: str) -> datetime:
    """Read an RFC 3339 time."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise CliError(f"not a time: {text!r}; write 2027-01-31T00:00:00Z")
    return time


def exchange_id(text: str | None) -> bytes:
    """Read an exchange id given for a retry, or draw a new one."""
    if text is None:
        return secrets.token_bytes(EXCHANGE_ID_LENGTH)
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != EXCHANGE_ID_LENGTH:
        raise CliError("an exchange id has 32 hexadecimal digits")
    return value


def request_id(text: str | None) -> str:
    """Return the id given for a retry, or draw a new one."""
    return text or secrets.token_hex(EXCHANGE_ID_LENGTH)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something that cannot be undone; `yes` answers beforehand."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise CliError(f"{question} Say --yes to do it.")
    if not typer.confirm(question, err=True):
        raise CliError("nothing was done", exit_code=1)
