"""`token-service serve`: the service in production."""

import structlog

from token_service.app import serve as serve_until_stopped
from token_service.cli.deployment import server_settings
from token_service.cli.misspelt import misspelt_variables
from token_service.cli.runner import run_async
from token_service.logging import configure


def serve() -> int:
    """Serve with the settings of the environment; return the exit code."""
    settings = server_settings()
    configure(settings.log_level, settings.log_format)
    for name in misspelt_variables():
        structlog.get_logger(__name__).warning("unknown_setting", name=name)
    return run_async(serve_until_stopped(settings))
