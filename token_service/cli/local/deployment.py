"""The settings of commands that work on the stores themselves, not through the service."""

import os
from collections.abc import Mapping
from pathlib import Path

from token_service.cli import variables
from token_service.cli.calling import demo_file
from token_service.cli.calling.demo_file import DemoFile
from token_service.cli.output import Output
from token_service.cli.problems import CliError
from token_service.config import ConfigError, Settings, load

_DSN = "TOKEN_SERVICE_POSTGRES_DSN"
_DIRECT_DSN = "TOKEN_SERVICE_POSTGRES_DIRECT_DSN"
_POOLER = "TOKEN_SERVICE_POSTGRES_POOLER"
_REDIS = "TOKEN_SERVICE_REDIS_URL"
_SECRET_KEYS = "TOKEN_SERVICE_SECRET_KEYS"  # noqa: S105 - a variable's name

_DEVELOPMENT = {
    "TOKEN_SERVICE_ENVIRONMENT": "development",
    "TOKEN_SERVICE_ISSUER": "https://token-service.localhost",
    "TOKEN_SERVICE_GRPC_LISTEN": "127.0.0.1:50051",
    "TOKEN_SERVICE_LOG_FORMAT": "console",
    "TOKEN_SERVICE_REFLECTION": "true",
    "TOKEN_SERVICE_OPEN_REGISTRATION": "true",
}


def server_settings(environment: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of the environment. Raises CliError naming each that is unusable."""
    try:
        return load(environment)
    except ConfigError as error:
        raise CliError(f"unusable configuration\n{error}") from None


def development_environment(
    folder: Path, dsn: str, redis_url: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables of a development server.

    The stores and secrets are its own, whatever `environment` says of them: that may be the
    environment of a production server.
    """
    from token_service.app.development import SECRET_KEYS_FILE

    own = {
        _DSN: dsn,
        _REDIS: redis_url,
        f"{_SECRET_KEYS}_FILE": str(folder / SECRET_KEYS_FILE),
        variables.DATA_DIR: str(folder),
        "TOKEN_SERVICE_WORKERS": "1",
    }
    ours = {_DSN, f"{_DSN}_FILE", _DIRECT_DSN, f"{_DIRECT_DSN}_FILE", _POOLER}
    ours |= {_REDIS, f"{_REDIS}_FILE", _SECRET_KEYS}
    theirs = {name: text for name, text in environment.items() if name not in ours and text}
    return {**_DEVELOPMENT, **theirs, **own}


def store_environment(out: Output) -> Mapping[str, str]:
    """Return the environment or, where it names no database, that of the development server,
    which must be running."""
    demo = _demo_instead()
    if demo is None:
        return os.environ
    folder = demo_file.data_dir()
    out.note(f"{_DSN} is not set: working on the development server in {folder}")
    return development_environment(folder, demo.postgres, demo.redis, os.environ)


def database_settings(out: Output) -> Settings:
    """Return settings that are right of the database, for what needs no other. Raises CliError."""
    demo = _demo_instead()
    if demo is not None:
        out.note(f"{_DSN} is not set: working on the development server's database")
    from token_service.app.development import new_secret_keys

    names = (_DSN, f"{_DSN}_FILE", _DIRECT_DSN, f"{_DIRECT_DSN}_FILE", _POOLER)
    given = {_DSN: demo.postgres} if demo else {name: os.environ.get(name, "") for name in names}
    # The rest is required of a server; here it only has to be well formed.
    rest = {"TOKEN_SERVICE_ISSUER": "none", _SECRET_KEYS: new_secret_keys()}
    return server_settings({**given, **rest})


def _demo_instead() -> DemoFile | None:
    named = os.environ.get(_DSN) or os.environ.get(f"{_DSN}_FILE")
    return None if named else demo_file.read(demo_file.data_dir())
