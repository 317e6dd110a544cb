"""The README's promises: a clean clone starts with one command, and its tour goes as shown."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.dev_server import family_of
from tests.e2e.readme import Step, between, outline, steps
from tests.integration.processes import wait_until_gone
from tests.support.servers import ROOT
from token_service.config import settings_table

GIT, MAKE = shutil.which("git") or "git", shutil.which("make") or "make"
ADDRESS = "127.0.0.1:50051"
SERVING = "is serving on "
ENTRANCE = ". .venv/bin/activate\numask 077"
START_SECONDS = 600.0
STOP_SECONDS = 60.0


class Checkout:
    """A clean clone of what is committed, and `make run` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([GIT, "clone", "--quiet", str(ROOT), str(folder)], check=True)
        self.readme = (folder / "README.md").read_text()
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

    def play(self, step: Step) -> str:
        """Do what the step says in a shell as the README opens it; what is seen there."""
        code = step.code.replace(ADDRESS, self.address)
        command = ["python", "-c", code] if step.python else ["sh", "-ec", code]
        shell = ["sh", "-c", f'{ENTRANCE}\nexec "$@"', "sh", *command]
        ran = subprocess.run(
            shell,
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        assert ran.returncode == step.exit_code, (step.code, ran.stdout)
        return ran.stdout

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
        """Leave nothing behind."""
        self.kill()
        if self._process is not None and self._process.stdout is not None:
            if self._reader.is_alive():
                self._reader.join(STOP_SECONDS)
            self._process.stdout.close()

    def _drain(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self.printed.extend(self._process.stdout)


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    """A clone that PostgreSQL can reach as the user `nobody`."""
    folder = Path(tempfile.mkdtemp(prefix="token-service-clone-"))
    folder.chmod(0o711)
    clone = Checkout(folder / "token-service")
    yield clone
    clone.close()
    shutil.rmtree(folder)


def test_the_tour_of_a_clean_clone(checkout: Checkout) -> None:
    assert ENTRANCE in checkout.readme
    tour = steps(checkout.readme)
    assert len(tour) == checkout.readme.count("<!-- tour")
    assert len(tour) >= 10
    checkout.make_run()
    for step in tour:
        printed = checkout.play(step)
        if step.shown:
            assert outline(printed) == outline(step.shown), printed
    family = checkout.interrupt()
    assert len(family) > 3
    wait_until_gone(family)
    status = subprocess.run(
        [GIT, "status", "--porcelain"],
        cwd=checkout.folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert status.stdout == ""


def test_an_outline_tells_other_verdicts_reasons_and_keys_apart() -> None:
    assert outline("verdict  active\n") != outline("verdict  revoked\n")
    assert outline("TOKEN_REUSED: gone\n") != outline("TOKEN_REVOKED: gone\n")
    assert outline("cache.max_age  0s\n") == outline("cache.max_age  297s\n")


def test_the_settings_in_the_readme_are_those_of_the_program() -> None:
    readme = (ROOT / "README.md").read_text()
    assert between(readme, "settings").strip() == settings_table().strip()


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
