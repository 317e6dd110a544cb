"""Variables that look like settings and are none."""

from collections.abc import Mapping

from token_service.cli.variables import OF_THE_COMMAND_LINE
from token_service.config import unknown_variables


def misspelt_variables(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Variables with our prefix that neither a server nor a command reads."""
    unknown = unknown_variables(environment)
    return tuple(name for name in unknown if name not in OF_THE_COMMAND_LINE)
