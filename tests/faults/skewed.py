"""A server on a machine whose clocks, wall and boot, are off by TEST_CLOCK_SHIFT seconds.

Run as a process of its own, like the service.
"""

import json
import os
import sys
import time
from importlib import import_module
from types import SimpleNamespace

import uvloop

from token_service import config, logging
from token_service.adapters.system import AnchoredSystemClock
from token_service.app import serve
from tokenservice.core.clock import AnchoredClock, boottime

if __name__ == "__main__":
    shift = float(os.environ["TEST_CLOCK_SHIFT"])
    wall = time.time
    time.time = lambda: wall() + shift
    # gRPC's core reads the true clock for deadlines, which its Python part compares with this.
    import_module("grpc._cython.cygrpc").__dict__["time"] = SimpleNamespace(time=wall)
    sys.stdout.write(json.dumps({"event": "skewed", "unix": time.time()}) + "\n")
    settings = config.load()
    logging.configure(settings.log_level, settings.log_format)
    clock = AnchoredSystemClock(AnchoredClock(lambda: boottime() + shift))
    raise SystemExit(uvloop.run(serve(settings, clock=clock)))
