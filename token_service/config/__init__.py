"""The settings of a server: what they are, where they come from, what is refused."""

from token_service.config.loading import ConfigError, load, settings_table, unknown_variables
from token_service.config.settings import PREFIX, Settings

__all__ = ["PREFIX", "ConfigError", "Settings", "load", "settings_table", "unknown_variables"]
