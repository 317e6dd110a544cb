"""The token service: issues, exchanges, validates and revokes tokens over gRPC."""

import sys
from contextlib import suppress

# structlog loads rich where it finds it, for tracebacks that we never let it draw: four percent of
# an idle server's memory. An entry of None makes the import fail, and structlog do without. Where
# there is no structlog, the part of this package that needs it will say so.
if "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        with suppress(ModuleNotFoundError):
            import structlog as _structlog  # noqa: F401 - for this effect
    finally:
        del sys.modules["rich"]
