"""Looks at processes through /proc, and runs a parent that is going to be killed."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.waiting import wait_until

_PARENT = """
import json, signal, sys, threading
from pathlib import Path
from token_service.adapters.embedded import EmbeddedError, EmbeddedPostgres, EmbeddedValkey

folder, thread = Path(sys.argv[1]), sys.argv[2]
postgres, valkey = EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey")
report = {}

def start():
    try:
        postgres.start()
        valkey.start()
    except EmbeddedError as error:
        report["error"] = str(error)
        return
    report["postgres"], report["valkey"], report["dsn"] = postgres.pid, valkey.pid, postgres.dsn
    report["sockets"] = [
        (folder / name / "socket-folder").read_text().strip() for name in ("postgres", "valkey")
    ]

if thread == "main":
    start()
else:
    starter = threading.Thread(target=start)
    starter.start()
    starter.join()
print(json.dumps(report), flush=True)
signal.pause()
"""


@dataclass(frozen=True, slots=True)
class Victim:
    """A process that starts both servers and waits to be killed."""

    process: subprocess.Popen[str]

    def report(self) -> dict[str, Any]:
        """Wait for what it says of itself: pids and address, or an error."""
        assert self.process.stdout is not None
        report: dict[str, Any] = json.loads(self.process.stdout.readline())
        return report

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()
        self.process.communicate()


def run_victim(folder: Path, *, thread: str = "main") -> Victim:
    """Start a parent that starts its servers from the given thread."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)  # PostgreSQL's user must get to its data
    return Victim(
        subprocess.Popen(
            [sys.executable, "-c", _PARENT, str(folder), thread], stdout=subprocess.PIPE, text=True
        )
    )


def children_of(pid: int) -> list[int]:
    """Return the direct children of a process."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers_of(pid: int) -> list[int]:
    """Return those of a server's children that serve: others hash passwords."""
    return [child for child in children_of(pid) if "processes.worker" in command_line(child)]


def command_line(pid: int) -> str:
    """Return a process's arguments as any user can see them, or nothing if it has ended."""
    return _text(pid, "cmdline")


def environment(pid: int) -> str:
    """Return a process's initial environment, or nothing if it has ended."""
    return _text(pid, "environ")


def all_command_lines() -> list[str]:
    """Return the arguments of every process."""
    return [command_line(int(p.name)) for p in Path("/proc").iterdir() if p.name.isdecimal()]


def _text(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def uid_of(pid: int) -> int:
    """Return the effective user of a process."""
    return Path(f"/proc/{pid}").stat().st_uid


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie, which only waits to be reaped, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")


def wait_until_gone(pids: list[int]) -> None:
    """Wait for processes to end; fail with those that do not."""

    def alive() -> list[int]:
        return [pid for pid in pids if is_alive(pid)]

    wait_until(lambda: not alive(), lambda: f"still running: {[*map(command_line, alive())]}")
