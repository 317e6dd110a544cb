"""Real server processes, started, paused and killed by tests."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, Queue

from tests.support.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0

REFUSED: set[tuple[str, str]] = set()
"""(method, reason) of every call that a server process refused in this test run."""


class ServerProcess:
    """One `token-service serve` in a process of its own, on a port of its own.

    `output` collects every line that it prints, for tests that look for secrets.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        module: str = "token_service",
        root: Path = ROOT,
        meanwhile: Callable[[subprocess.Popen[str]], None] = lambda _: None,
    ) -> None:
        """Wait until it serves. `meanwhile` is called with the process that has just begun; `root`
        is the checkout whose code runs."""
        arguments = [sys.executable, "-m", module]
        if module == "token_service":
            arguments.append("serve")
        self._address: Queue[str] = Queue()
        self.output: list[str] = []
        self.process = subprocess.Popen(
            arguments,
            cwd=root,
            env={**inherited(root), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        meanwhile(self.process)
        self.address = self._wait_for_address()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if not isinstance(event, dict):
                continue
            if event.get("event") == "serving":
                self._address.put(event["address"])
            elif event.get("event") == "call" and event["reason"]:
                REFUSED.add((event["method"], event["reason"]))
        self._address.put("")

    def _wait_for_address(self) -> str:
        try:
            address = self._address.get(timeout=START_SECONDS)
        except Empty:
            address = ""
        if not address:
            self.kill()
            raise RuntimeError("the server did not start:\n" + "".join(self.output[-40:]))
        return address

    def pause(self) -> None:
        """Freeze the process where it stands."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused process go on."""
        self.process.send_signal(signal.SIGCONT)

    def terminate(self, within: float = 30.0) -> int:
        """Ask for a graceful stop; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self._ended(within)

    def kill(self) -> None:
        """End the process at once."""
        if self.process.poll() is None:
            self.process.kill()
        self._ended(10.0)

    def _ended(self, within: float) -> int:
        code = self.process.wait(within)
        self._reader.join(PATIENCE)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def inherited(root: Path = ROOT) -> dict[str, str]:
    """The environment without anything that would configure a server, to run the code of a
    checkout."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith("TOKEN_SERVICE_")
    }
    if root != ROOT:
        kept["PYTHONPATH"] = str(root / "clients/python/src")
    return {**kept, "PYTHONUNBUFFERED": "1"}
