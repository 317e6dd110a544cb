"""`token-service serve`: the service in production."""

import asyncio
import os

import structlog

from token_service.app.ending import hold_hangups
from token_service.cli import variables
from token_service.cli.local.deployment import server_settings
from token_service.cli.local.misspelt import misspelt_variables
from token_service.cli.local.runner import run_async, told
from token_service.cli.problems import REFUSED, CliError
from token_service.config import Settings
from token_service.logging import configure


def serve(workers: int | None = None) -> int:
    """Serve with the settings of the environment, `workers` instead of theirs; return the exit
    code."""
    hold_hangups()
    given = {} if workers is None else {variables.WORKERS: str(workers)}
    settings = server_settings({**os.environ, **given})
    configure(settings.log_level, settings.log_format)
    for name in misspelt_variables():
        structlog.get_logger(__name__).warning("unknown_setting", name=name)
    return _serve_alone(settings) if settings.workers == 1 else _supervise(settings)


def _serve_alone(settings: Settings) -> int:
    from token_service.app.processes.alone import serve_alone
    from token_service.app.processes.stand_in import StandIn

    return run_async(serve_alone(settings, StandIn.inherited()))


def _supervise(settings: Settings) -> int:
    from token_service.app.errors import WorkersFailedError
    from token_service.app.processes.supervisor import supervise

    with told():
        try:
            return asyncio.run(supervise(settings))
        except WorkersFailedError as error:
            raise CliError(str(error), exit_code=REFUSED) from None
