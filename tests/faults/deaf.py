"""A server that no notification of the trust log reaches.

Run as a process of its own, like the service.
"""

import uvloop

from token_service import config, logging
from token_service.adapters.postgres.trust import log as trust
from token_service.app import serve

if __name__ == "__main__":
    trust.CHANNEL = "nobody_speaks_here"  # where it listens; what it announces stays as it was
    settings = config.load()
    logging.configure(settings.log_level, settings.log_format)
    raise SystemExit(uvloop.run(serve(settings)))
