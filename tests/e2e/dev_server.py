"""A development server in a process of its own, as a person starts it."""

import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from tests.support.command_line import CommandLine
from tests.support.servers import ROOT
from token_service.cli.calling import demo_file
from token_service.cli.calling.demo_file import DemoFile

START_SECONDS = 120.0
STOP_SECONDS = 60.0
_ON_TERMINAL = (
    "import os, sys; os.login_tty(0); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
_END_OF_BANNER = "-" * 72


class DevServer:
    """`token-service dev` on a folder; what it printed is in `banner` and `log`."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.command_line = CommandLine(folder)
        descriptor, name = tempfile.mkstemp(prefix=f"{folder.name}-", suffix=".log")
        self._log_path = Path(name)
        given = {"grpc_listen": "127.0.0.1:0", "drain_delay": "0", **settings}
        environment = self.command_line.with_variables(**given).process_environment()
        with os.fdopen(descriptor, "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "token_service", "dev"],
                env=environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,  # as a shell does: Ctrl-C reaches the whole group
            )

    def ready(self) -> "DevServer":
        """Wait until it says that it serves."""
        assert self.process.stdout is not None
        self.banner = read_banner(self.process.stdout)
        assert self.banner.count(_END_OF_BANNER) == 2, self.log
        return self

    @property
    def log(self) -> str:
        """What it wrote to stderr."""
        return self._log_path.read_text()

    @property
    def demo(self) -> DemoFile:
        """Its `credentials.json`."""
        demo = demo_file.read(self.folder)
        assert demo is not None
        return demo

    def family(self) -> list[int]:
        """The process and all that descend from it."""
        return family_of(self.process.pid)

    def interrupt(self) -> int:
        """Press Ctrl-C; the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self._ended()

    def terminate(self) -> int:
        """Send SIGTERM; the exit code."""
        self.process.terminate()
        return self._ended()

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()
        self._ended()

    def failure(self) -> tuple[int, str]:
        """Wait for a start that fails; the exit code and what was printed."""
        return self._ended(), self.log

    def clean_up(self) -> None:
        """Kill it where it still runs, and remove its log."""
        if self.process.poll() is None:
            self.kill()
        self._log_path.unlink()

    def _ended(self) -> int:
        code = self.process.wait(STOP_SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code


def read_banner(stream: IO[str]) -> str:
    """Read what is printed until the banner's second rule, or the end of the output."""
    text = ""
    while text.count(_END_OF_BANNER) < 2:
        readable, _, _ = select.select([stream], [], [], START_SECONDS)
        assert readable, f"nothing more came after {text!r}"
        part = os.read(stream.fileno(), 65_536).decode()
        if not part:
            break
        text += part
    return text


def family_of(pid: int) -> list[int]:
    """The process and all that descend from it, whichever of its threads started them."""
    parents = _parents()
    family = [pid]
    for member in family:  # grows while it is walked
        family += [child for child, parent in parents.items() if parent == member]
    return family


def _parents() -> dict[int, int]:
    """Every process and its parent."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                found[int(entry.name)] = int(fields[1])
    return found


def banner_on_a_terminal(folder: Path, variables: Mapping[str, str]) -> str:
    """Start a development server on a terminal, read its banner, and press Ctrl-C there."""
    with on_a_terminal(folder, variables) as (process, terminal):
        banner = read_banner(terminal)
        process.send_signal(signal.SIGINT)
        assert process.wait(STOP_SECONDS) == 0
    return banner


@contextmanager
def on_a_terminal(
    folder: Path, variables: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], IO[str]]]:
    """A development server on a terminal of its own; closing that is closing the window."""
    ours, theirs = pty.openpty()
    environment = CommandLine(folder).with_variables(**variables).process_environment()
    process = subprocess.Popen(
        [sys.executable, "-c", _ON_TERMINAL, "-m", "token_service", "dev"],
        env=environment,
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        with os.fdopen(ours, "r", closefd=True) as terminal:
            yield process, terminal
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
