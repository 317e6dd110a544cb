"""Runs commands as a shell would, in this process."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import structlog
from typer.testing import CliRunner

from tests.support.servers import ROOT
from token_service.cli.main import app

_SIGNALS = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def _signals_as_before() -> Iterator[None]:
    """A command that serves holds signals back. Processes of later tests would inherit that."""
    if threading.current_thread() is not threading.main_thread():
        yield  # it cannot do so from there
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


@contextmanager
def _logging_as_before() -> Iterator[None]:
    """A command sets up its process's logs. Those of the tests shall not stay so, and no logger
    of theirs keep what it found then."""
    root, config, configure = logging.getLogger(), structlog.get_config(), structlog.configure
    handlers, level = root.handlers[:], root.level

    def without_caching(**settings: Any) -> None:
        configure(**{**settings, "cache_logger_on_first_use": False})

    with patch.object(structlog, "configure", without_caching):
        try:
            yield
        finally:
            configure(**config)
            root.handlers[:] = handlers
            root.setLevel(level)


@dataclass(frozen=True)
class Ran:
    """What became of a command."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """The program with an environment of its own: nothing of ours but the folder of its data."""

    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    def with_variables(self, **variables: str) -> "CommandLine":
        """The same with `TOKEN_SERVICE_<NAME>` variables besides."""
        named = {f"TOKEN_SERVICE_{name.upper()}": text for name, text in variables.items()}
        return CommandLine(self.folder, {**self.variables, **named})

    def environment(self) -> dict[str, str | None]:
        """What the program sees; None takes a variable of ours away."""
        ours: dict[str, str | None] = {
            name: None for name in os.environ if name.startswith("TOKEN_SERVICE_")
        }
        return {**ours, "TOKEN_SERVICE_DATA_DIR": str(self.folder), **self.variables}

    def run(self, *arguments: str, stdin: str = "") -> Ran:
        """Run a command to its end; an exception that escapes it is raised here."""
        with _logging_as_before(), _signals_as_before():
            result = CliRunner().invoke(app, arguments, input=stdin, env=self.environment())
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    def run_apart(self, *arguments: str) -> Ran:
        """Run a command in a process of its own, for those that set up loops, signals or logs."""
        result = subprocess.run(
            [sys.executable, "-m", "token_service", *arguments],
            env=self.process_environment(),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Ran(result.returncode, result.stdout, result.stderr)

    def process_environment(self) -> dict[str, str]:
        """What a process of its own gets: the shell's environment, ours laid over it."""
        merged = {**os.environ, **self.environment()}
        return {name: text for name, text in merged.items() if text is not None}

    def ok(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that must succeed; what it printed on stdout."""
        ran = self.run(*arguments, stdin=stdin)
        assert ran.code == 0, ran
        return ran.out

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """Run a command that must succeed with `--json`; its document."""
        return json.loads(self.ok(*arguments, "--json", stdin=stdin))

    def refused(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that the service must refuse; the reason."""
        ran = self.run(*arguments, "--json", stdin=stdin)
        assert (ran.code, ran.out) == (1, ""), ran
        reason: str = json.loads(ran.err.splitlines()[-1])["error"]["reason"]
        return reason
