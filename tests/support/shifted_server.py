"""A server whose clock is off by TEST_CLOCK_SHIFT seconds; run as a process of its own."""

import asyncio
import os
from datetime import timedelta

from tests.support.clocks import ShiftedClock
from token_service import config, logging
from token_service.app import serve

if __name__ == "__main__":
    settings = config.load()
    logging.configure(settings.log_level, settings.log_format)
    shift = timedelta(seconds=float(os.environ["TEST_CLOCK_SHIFT"]))
    raise SystemExit(asyncio.run(serve(settings, clock=ShiftedClock(shift))))
