"""`token-service serve`, `dev` and `migrate`: running the service and preparing its database."""

import os

import typer

from token_service.adapters.postgres.migrate import MigrationError, migrate, pending
from token_service.cli.deployment import database_address, server_settings
from token_service.cli.output import Output
from token_service.cli.problems import REFUSED, UNUSABLE, CliError
from token_service.cli.runner import run_async


def serve_command(out: Output) -> None:
    """Serve in production: settings from the environment, until SIGTERM."""
    settings = server_settings()
    try:
        missing = pending(settings.postgres_dsn.get_secret_value())
    except MigrationError as error:
        raise CliError(f"cannot use the database: {error}") from None
    if missing:
        raise CliError(
            f"the database lacks {len(missing)} migrations: run `token-service migrate` first"
        )
    from token_service.app import ConfigError, StartupError, serve

    try:
        code = run_async(serve(settings))
    except (ConfigError, StartupError) as error:
        raise CliError(str(error), exit_code=UNUSABLE) from None
    raise typer.Exit(code)


def dev_command(out: Output) -> None:
    """Start PostgreSQL, Valkey and the service, with demo clients and a demo user."""
    from token_service.cli import dev

    raise typer.Exit(dev.run(dict(os.environ)))


def migrate_command(out: Output) -> None:
    """Bring the database schema up to date."""
    dsn = database_address(out)
    try:
        missing = pending(dsn)
        migrate(dsn)
    except MigrationError as error:
        raise CliError(str(error), exit_code=REFUSED) from None
    if out.as_json:
        out.json({"applied": missing})
    else:
        out.line(f"applied {len(missing)}: {', '.join(missing)}" if missing else "up to date")
