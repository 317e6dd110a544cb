"""A server as it is after its first quarter of an hour; run as a process of its own.

Until its clock has run for so long without a step, a server forgets no revocation, and ten
minutes would show a table that only grows. Nothing else is different from `serve`.
"""

import asyncio

import uvloop

from tests.support.clocks import settle
from token_service import config, logging
from token_service.adapters.system import AnchoredSystemClock
from token_service.app import serve


def main() -> int:
    """Serve until SIGTERM."""
    settings = config.load()
    logging.configure(settings.log_level, settings.log_format)
    clock = AnchoredSystemClock()
    settle(clock.anchor)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(settings, clock=clock))


if __name__ == "__main__":
    raise SystemExit(main())
