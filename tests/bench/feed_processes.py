"""The processes that watch a feed, and what the server under them uses."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.processes import ROOT


class Worker:
    """A process of watchers; a job may run while others do theirs."""

    def __init__(self, module: str = "tests.bench.watchers") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, job: str, **details: Any) -> None:
        """Hand a job over."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"job": job, **details}) + "\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """Its answer. Raises RuntimeError when something went wrong there."""
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        if answer["problems"]:
            raise RuntimeError(f"watchers: {answer['problems']}")
        return answer

    def run(self, job: str, **details: Any) -> dict[str, Any]:
        """Both."""
        self.begin(job, **details)
        return self.end()

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def run_all(workers: Sequence[Worker], job: str, **details: Any) -> list[dict[str, Any]]:
    """The same job in all processes at the same time."""
    for worker in workers:
        worker.begin(job, **details)
    return [worker.end() for worker in workers]


class Bare:
    """The floor, as a process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.bare_feed"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.address: str = json.loads(self._process.stdout.readline())["address"]
        self.pid = self._process.pid

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, in nanoseconds."""
    tasks = Path(f"/proc/{pid}/task")
    total = 0
    for task in tasks.iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except FileNotFoundError:
            continue
    return total


def until_idle(pid: int) -> None:
    """Wait until a process has done what earlier measurements left to it, half a minute at most."""
    for _ in range(60):
        before = cpu_ns(pid)
        time.sleep(0.5)
        if cpu_ns(pid) - before < 10_000_000:
            return
    raise RuntimeError("a server does not come to rest")


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return 1024 * int(line.split()[1])
    raise LookupError("the process has no memory")
