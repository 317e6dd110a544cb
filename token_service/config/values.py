"""How settings are declared, and their types: how a text is read, and its bounds."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field

from token_service.config.checks import (
    check_host_port,
    check_listen_address,
    parse_duration,
    split_names,
)

MOST = 2**31 - 1
"""Of what is counted in 32 bits: by the transport or the database, as milliseconds too."""

Count = Annotated[int, Field(ge=1, le=MOST)]
Connections = Annotated[int, Field(ge=1, le=10_000)]
Wait = Annotated[timedelta, BeforeValidator(parse_duration), Field(ge=timedelta(0))]
Duration = Annotated[timedelta, BeforeValidator(parse_duration), Field(gt=timedelta(0))]
Algorithm = Literal["EdDSA", "ES256", "RS256", "PS256", "HS256"]
Algorithms = Annotated[tuple[Algorithm, ...], BeforeValidator(split_names)]
ListenAddress = Annotated[str, BeforeValidator(check_listen_address)]
HostPort = Annotated[str, BeforeValidator(check_host_port)]


class Group(BaseModel):
    """Settings of one subject. Its name is the heading under which they are documented."""


def setting(description: str, default: Any = ..., **bounds: Any) -> Any:  # noqa: ANN401
    """One setting of a Group; without a default it is required."""
    return Field(default, description=description, **bounds)
