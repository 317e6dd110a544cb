"""Whether the settings are usable, and none is misspelt or open to strangers."""

import os
from collections.abc import Mapping
from pathlib import Path

from token_service.cli.doctor.checks import Check, fail, ok, warn
from token_service.cli.local.misspelt import misspelt_variables
from token_service.config import ConfigError, Settings, load

_SECRET_FILES = ("POSTGRES_DSN", "POSTGRES_DIRECT_DSN", "REDIS_URL", "SECRET_KEYS")


def check(environment: Mapping[str, str]) -> tuple[list[Check], Settings | None]:
    """Check the settings of `environment`, and return them where they are usable."""
    try:
        settings = load(environment)
    except ConfigError as error:
        lines = str(error).splitlines()
        return [
            fail("configuration", line, "set it right; nothing else was checked") for line in lines
        ], None
    found = [ok("configuration", f"for {settings.environment}, to serve on {settings.grpc_listen}")]
    found += [
        warn("configuration", f"{name} means nothing", "is it misspelt?")
        for name in misspelt_variables(environment)
    ]
    found += _open_files(environment)
    if settings.plaintext_beyond_this_machine:
        found.append(
            warn(
                "transport",
                "other machines are served without TLS",
                "set TOKEN_SERVICE_TLS_CERT and TOKEN_SERVICE_TLS_KEY",
            )
        )
    if settings.allow_unsafe_durability:
        found.append(
            warn("durability setting", "unsafe durability is allowed", "for tests alone: unset it")
        )
    return found, settings


def _open_files(environment: Mapping[str, str]) -> list[Check]:
    """Look for files of secrets that every user may read."""
    found = []
    for setting in _SECRET_FILES:
        name = f"TOKEN_SERVICE_{setting}_FILE"
        path = environment.get(name, "")
        if path and os.path.exists(path) and Path(path).stat().st_mode & 0o007:  # noqa: PTH110
            found.append(
                warn("secrets", f"{path} ({name}) may be read by everybody", f"chmod o-rwx {path}")
            )
    return found
