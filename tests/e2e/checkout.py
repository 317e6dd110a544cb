"""A clean clone of the project, with `make run` in it, as a newcomer has it."""

import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.dev_server import family_of
from tests.support.documents import README, Block, blocks
from tests.support.processes import wait_until_gone
from tests.support.servers import ROOT

GIT, MAKE = shutil.which("git") or "git", shutil.which("make") or "make"
ADDRESS = "127.0.0.1:50051"
SERVING = "is serving on "
START_SECONDS = 600.0
STOP_SECONDS = 60.0


class Checkout:
    """A clean clone of what is committed, and `make run` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([GIT, "clone", "--quiet", str(ROOT), str(folder)], check=True)
        [entrance] = blocks(README, "entrance", root=folder)
        self.entrance = entrance.code
        self.environment = _environment()
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self.printed: list[str] = []

    def make_run(self) -> None:
        """Wait until it says that it serves; setting up the clone is a part of it."""
        self._process = subprocess.Popen(
            [MAKE, "run"],
            cwd=self.folder,
            env={**self.environment, **_listen()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,  # as a shell does: Ctrl-C reaches the whole group
        )
        assert self._process.stdout is not None
        watchdog = threading.Timer(START_SECONDS, self.kill)
        watchdog.start()
        for line in self._process.stdout:
            self.printed.append(line)
            if SERVING in line:
                break
        watchdog.cancel()
        assert SERVING in "".join(self.printed[-1:]), "".join(self.printed[-40:])
        self.address = self.printed[-1].partition(SERVING)[2].partition(";")[0]
        self._reader.start()

    def play(self, block: Block, *, fails: bool = False, programs: str = "") -> str:
        """Do what the block says in a shell as the README opens it; what is seen there."""
        code = block.code.replace(ADDRESS, self.address)
        command = ["python", "-c", code] if block.language == "python" else ["sh", "-ec", code]
        ran = subprocess.run(
            self.shell(*command),
            cwd=self.folder,
            env=self.with_programs(programs),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        assert ran.returncode == int(fails), (block.place, block.code, ran.stdout)
        return ran.stdout

    def shell(self, *command: str) -> list[str]:
        """The command in a shell as the README opens it."""
        return ["sh", "-c", f'{self.entrance}\nexec "$@"', "sh", *command]

    def with_programs(self, folder: str) -> dict[str, str]:
        """The environment with one more folder of programs, behind all others."""
        if not folder:
            return self.environment
        return {**self.environment, "PATH": f"{self.environment['PATH']}:{folder}"}

    @contextmanager
    def terminal(self, line: str) -> Iterator["subprocess.Popen[str]"]:
        """A command in one more terminal, ended with the block."""
        process = subprocess.Popen(
            self.shell("sh", "-c", f"exec {line}"),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def interrupt(self) -> list[int]:
        """Press Ctrl-C; the processes that there were."""
        assert self._process is not None
        family = family_of(self._process.pid)
        os.killpg(self._process.pid, signal.SIGINT)
        self._process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        return family

    def kill(self) -> None:
        """End what still runs."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_SECONDS)

    def close(self) -> None:
        """Leave nothing behind, nor anything that still writes to the folder."""
        family: list[int] = []
        if self._process is not None and self._process.poll() is None:
            family = family_of(self._process.pid)
        self.kill()
        wait_until_gone(family)
        if self._process is not None and self._process.stdout is not None:
            if self._reader.is_alive():
                self._reader.join(STOP_SECONDS)
            self._process.stdout.close()

    def _drain(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self.printed.extend(self._process.stdout)


def _environment() -> dict[str, str]:
    """A shell's environment, without what configures this test run or its programs."""
    ours = ("TOKEN_SERVICE_", "ARGS", "MAKE", "MFLAGS", "VIRTUAL_ENV", "PYTHON", "COV_", "PYTEST")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(ours)}
    # Byte code is written where it is needed: most of it never is, and it takes half the time.
    return {**kept, "PIP_NO_COMPILE": "1"}


def _listen() -> dict[str, str]:
    """Another port, where something listens on the usual one."""
    host, _, port = ADDRESS.partition(":")
    with socket.socket() as probe:
        taken = probe.connect_ex((host, int(port))) == 0
    return {"TOKEN_SERVICE_GRPC_LISTEN": f"{host}:0"} if taken else {}
