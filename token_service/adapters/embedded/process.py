"""A server as a direct child process that cannot outlive this process."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from token_service.adapters.embedded.account import Account
from token_service.adapters.embedded.errors import EmbeddedError

_LAUNCHER = Path(__file__).with_name("launch.py")
_LOG_LIMIT = 8 * 1024 * 1024  # bytes; a larger log of earlier runs is dropped at the next start
_TAIL_BYTES = 8 * 1024

StopStep = tuple[signal.Signals, float]
"""A signal, and the seconds to wait after it."""


def launch_command(
    command: Sequence[str], *, death_signal: signal.Signals, account: Account | None
) -> list[str]:
    """Return the command line that runs `command` by way of the launcher."""
    uid, gid = (account.uid, account.gid) if account else (-1, -1)
    launcher = [sys.executable, "-I", "-S", str(_LAUNCHER)]
    return [*launcher, *map(str, (os.getpid(), int(death_signal), uid, gid)), *command]


def child_environment() -> dict[str, str]:
    """Return all that a server learns of our environment, which may hold secrets."""
    fixed = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    # The launcher is Python, which may need it to find its own library.
    kept = ("LD_LIBRARY_PATH",)
    return fixed | {name: os.environ[name] for name in kept if name in os.environ}


def run_to_end(command: Sequence[str], *, account: Account | None, timeout: float) -> None:
    """Run a helper program of a server; raise EmbeddedError with its output if it fails.

    `timeout` is in seconds. No member of its process group is left behind.
    """
    child = subprocess.Popen(  # noqa: S603 - programs of our own choice
        launch_command(command, death_signal=signal.SIGKILL, account=account),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=child_environment(),
        process_group=0,
    )
    name = Path(command[0]).name
    try:
        output, _ = child.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise EmbeddedError(f"{name} did not finish within {timeout:.0f} s") from None
    finally:
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    if child.returncode != 0:
        text = output.decode(errors="replace").strip()
        raise EmbeddedError(f"{name} failed with status {child.returncode}:\n{text}")


class ServerProcess:
    """One running server, its log, and the thread that must live as long as it does.

    The kernel sends the death signal when the *thread* that created the child ends. So a thread
    of its own creates the child and waits until `stop`: `start` may be called from any thread.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        death_signal: signal.Signals,
        account: Account | None = None,
        stdin: bytes = b"",
    ) -> None:
        """Start the server; output goes to the file `log`, `stdin` is what it reads first."""
        self._log = log
        self._name = Path(command[0]).name
        self._command = launch_command(command, death_signal=death_signal, account=account)
        self._stdin = stdin
        self._spawned = threading.Event()
        self._released = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        self._keeper = threading.Thread(target=self._keep, name=f"keep-{self._name}", daemon=True)
        self._keeper.start()
        self._spawned.wait()
        if self._failure is not None:
            raise EmbeddedError(f"cannot start {self._name}: {self._failure}") from self._failure

    def _keep(self) -> None:
        try:
            self._child = self._spawn()
        except OSError as error:
            self._failure = error
            return
        finally:
            self._spawned.set()
        self._released.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        if self._log.exists() and self._log.stat().st_size > _LOG_LIMIT:
            self._log.unlink()
        with os.fdopen(os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)) as log:
            child = subprocess.Popen(  # noqa: S603 - programs of our own choice
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment(),
                # Ctrl-C is for us: the server must live until what uses it has drained.
                process_group=0,
            )
        with contextlib.suppress(BrokenPipeError), _stdin_of(child) as stdin:
            stdin.write(self._stdin)
        return child

    @property
    def pid(self) -> int:
        """The server's process id (the launcher became the server)."""
        return self._running().pid

    def status(self) -> int | None:
        """Return the exit status, or None while the server runs."""
        return self._running().poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a server that has ended already is left alone."""
        self._running().send_signal(number)

    def stop(self, steps: Sequence[StopStep]) -> None:
        """Send each signal in turn, waiting so many seconds after it, then SIGKILL."""
        child = self._running()
        for number, seconds in (*steps, (signal.SIGKILL, None)):
            child.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(seconds)
                break
        self._released.set()
        self._keeper.join()

    def failure(self, what: str) -> EmbeddedError:
        """Return an error that says `what` happened, and ends with the tail of the log."""
        return EmbeddedError(f"{self._name} {what}; the end of {self._log}:\n{tail(self._log)}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            raise EmbeddedError(f"{self._name} was not started")
        return self._child


def tail(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log, or a text that says there is none."""
    if not log.exists():
        return "(no log)"
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        text = stream.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"


def _stdin_of(child: subprocess.Popen[bytes]) -> IO[bytes]:
    if child.stdin is None:
        raise EmbeddedError("the server was started without a pipe")
    return child.stdin
