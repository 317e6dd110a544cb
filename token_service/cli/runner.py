"""Runs what is asynchronous."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from token_service.app.parts import StartupError
from token_service.cli.problems import REFUSED, CliError
from token_service.domain.errors import TokenServiceError

Result = TypeVar("Result")


def run_async(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` on a loop of its own; failures are told as those of a call, or of the settings."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(work)
        except StartupError as error:
            raise CliError(str(error)) from None
        except TokenServiceError as error:
            text = f"{error.reason.value}: {error.message}"
            raise CliError(text, exit_code=REFUSED) from None
