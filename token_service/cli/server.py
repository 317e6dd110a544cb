"""`token-service serve`, `dev` and `migrate`: running the service and preparing its database."""

import os

import structlog
import typer

from token_service.adapters.postgres.migrate import MigrationError, migrate, pending
from token_service.cli.deployment import database_address, server_settings
from token_service.cli.output import Output
from token_service.cli.problems import REFUSED, CliError
from token_service.cli.runner import run_async
from token_service.config import unknown_variables
from token_service.logging import configure


def serve_command(_: Output) -> None:
    """Serve in production: settings from the environment, until SIGTERM."""
    from token_service.app import serve

    settings = server_settings()
    configure(settings.log_level, settings.log_format)
    for name in unknown_variables():
        structlog.get_logger(__name__).warning("unknown_setting", name=name)
    raise typer.Exit(run_async(serve(settings)))


def dev_command(_: Output) -> None:
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
