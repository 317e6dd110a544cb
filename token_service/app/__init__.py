"""The composition root: the only package that sees all parts.

What it offers is loaded when it is first named: the supervisor of several workers is no server
itself, and goes without the parts of one.
"""

from typing import TYPE_CHECKING, Any

from token_service.app.errors import StartupError
from token_service.config import ConfigError

if TYPE_CHECKING:
    from token_service.app.server import Application, serve

__all__ = ["Application", "ConfigError", "StartupError", "serve"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever it is
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from token_service.app import server

    return getattr(server, name)
