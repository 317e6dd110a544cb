"""A load from a process of its own, and the cores that something may use."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.bench.processes import ROOT

CONNECTIONS = 32
IN_FLIGHT = 4
"""On each of the connections."""


@dataclass(slots=True)
class Load:
    """How many calls were answered, in what time, and the CPU that a call took on both sides."""

    calls: int
    seconds: float
    loader_cpu_us: float
    server_cpu_us: float = 0.0

    @property
    def per_second(self) -> float:
        """Calls per second."""
        return self.calls / self.seconds


def blast(address: str, method: str, authorization: str, request: bytes, seconds: float) -> Load:
    """The same call over and over. Raises RuntimeError when one fails."""
    job = {
        "address": address,
        "method": method,
        "authorization": authorization,
        "request": request.hex(),
        "connections": CONNECTIONS,
        "in_flight": IN_FLIGHT,
        "seconds": seconds,
    }
    ran = subprocess.run(
        [sys.executable, "-m", "tests.bench.blast"],
        cwd=ROOT,
        input=json.dumps(job) + "\n",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    answer = json.loads(ran.stdout)
    if answer["failures"]:
        raise RuntimeError(f"not all calls were answered: {answer['failures']}")
    cpu_us = 1e6 * answer["cpu_seconds"] / answer["calls"]
    return Load(answer["calls"], answer["seconds"], cpu_us)


@contextmanager
def on_cores(cores: set[int]) -> Iterator[None]:
    """Processes that are started inside may use these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
