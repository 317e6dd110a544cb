"""Ports for servers that are stopped and started again on the same address."""

import random
import socket
from contextlib import closing

_BELOW_THOSE_OF_CALLERS = range(15_000, 32_000)
"""The kernel gives connections and `bind(0)` their ports from 32,768 on: while a server is stopped,
nobody takes its port from there."""


def fixed_port() -> int:
    """A TCP port that is free on all addresses, and stays free while its server is stopped."""
    for port in random.SystemRandom().sample(_BELOW_THOSE_OF_CALLERS, 100):
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")
