"""The composition root: the only package that sees all parts."""

from token_service.app.parts import StartupError
from token_service.app.server import Application, serve
from token_service.config import ConfigError

__all__ = ["Application", "ConfigError", "StartupError", "serve"]
