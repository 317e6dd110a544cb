"""Runs what is asynchronous, and tells its failures as those of a call or of the settings."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import uvloop

from token_service.app import ConfigError, StartupError
from token_service.cli.problems import REFUSED, UNUSABLE, CliError
from token_service.domain.errors import TokenServiceError

Result = TypeVar("Result")


def run_async(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` on a loop of its own. Raises CliError."""
    with told(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@contextmanager
def told(*, exit_code: int = UNUSABLE) -> Iterator[None]:
    """Turn failures into CliError; those of the settings or of a start end with `exit_code`."""
    try:
        yield
    except (ConfigError, StartupError) as error:
        raise CliError(str(error), exit_code=exit_code) from None
    except TokenServiceError as error:
        text = f"{error.reason.value}: {error.message}"
        raise CliError(text, exit_code=REFUSED) from None
