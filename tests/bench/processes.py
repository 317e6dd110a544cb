"""The processes of a benchmark, and what they use of the machine."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
_PROCESS_CPU = 2
"""As clock_getcpuclockid(3) makes the clock of another process: in nanoseconds, not in ticks."""


def cpu_seconds(pid: int) -> float:
    """User and system time that the process has used so far, threads that have ended included."""
    return time.clock_gettime((~pid << 3) | _PROCESS_CPU)


class Loader:
    """The load process; one job at a time."""

    def __init__(self) -> None:
        self._process = _spawn(["tests.bench.loader"], stdin=subprocess.PIPE)

    def run(self, **job: Any) -> dict[str, Any]:
        """Do a job; raises RuntimeError when a single call did not do what it should."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        if answer["problems"] or not answer["calls"]:
            raise RuntimeError(f"{job['method']}: not all calls succeeded: {answer['problems']}")
        return answer

    def close(self) -> None:
        """End the process."""
        _end(self._process)


REPLY_BYTES = 400
"""About as large as the service's reply to Validate."""


class Echo:
    """The floor, as a process. Several may share a port other than 0."""

    def __init__(self, port: int = 0, **sizes: int) -> None:
        arguments = [str(port), *(f"{name}={size}" for name, size in sizes.items())]
        self._process = _spawn(["tests.bench.echo", *arguments])
        assert self._process.stdout is not None
        self.address: str = json.loads(self._process.stdout.readline())["address"]
        self.pid = self._process.pid

    def close(self) -> None:
        """End the process."""
        _end(self._process)


def median(values: Sequence[float]) -> float:
    """The middle of the rounds."""
    return statistics.median(values)


def _spawn(module: list[str], **streams: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        **streams,
    )


def _end(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
