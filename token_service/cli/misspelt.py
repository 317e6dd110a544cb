"""Variables that look like settings and are none."""

from collections.abc import Mapping

from token_service.cli.inputs import PASSWORD_VARIABLE, TOKEN_VARIABLE
from token_service.cli.target import (
    CA_VARIABLE,
    CERTIFICATE_VARIABLE,
    CLIENT_ID_VARIABLE,
    CLIENT_SECRET_VARIABLE,
    KEY_VARIABLE,
    SERVER_VARIABLE,
)
from token_service.config import unknown_variables

_OF_THE_COMMAND_LINE = frozenset(
    {
        CA_VARIABLE,
        CERTIFICATE_VARIABLE,
        CLIENT_ID_VARIABLE,
        CLIENT_SECRET_VARIABLE,
        f"{CLIENT_SECRET_VARIABLE}_FILE",
        KEY_VARIABLE,
        PASSWORD_VARIABLE,
        SERVER_VARIABLE,
        TOKEN_VARIABLE,
    }
)


def misspelt_variables(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Variables with our prefix that neither a server nor a command reads."""
    unknown = unknown_variables(environment)
    return tuple(name for name in unknown if name not in _OF_THE_COMMAND_LINE)
