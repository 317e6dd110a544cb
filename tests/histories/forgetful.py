"""A server that forgets what was revoked when it validates; run as a process of its own.

It is there to be convicted.
"""

import uvloop

from token_service import config, logging
from token_service.app import serve
from tokenservice.core import Facts, TrustEffect
from tokenservice.core.trust import TrustView


def _nothing(self: TrustView, facts: Facts) -> TrustEffect | None:
    del self, facts
    return None


if __name__ == "__main__":
    TrustView.status = _nothing  # type: ignore[method-assign]
    settings = config.load()
    logging.configure(settings.log_level, settings.log_format)
    raise SystemExit(uvloop.run(serve(settings)))
