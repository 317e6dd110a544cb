"""A valkey-server process of a test's own, which it may freeze, kill and start again."""

import contextlib
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import redis

from tests.support.waiting import PATIENCE, wait_until
from token_service.adapters.embedded.binaries import valkey_server

_ANSWER_TIMEOUT = 2.0


class ValkeyNode:
    """One valkey-server process, reachable on `port` of 127.0.0.1."""

    def __init__(
        self,
        folder: Path,
        port: int,
        lines: Sequence[str],
        *,
        password: str,
        sentinel: bool = False,
    ) -> None:
        self.port = port
        self.password = password
        self._folder = folder
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        config = [f"port {port}", "bind 127.0.0.1", f"dir {folder}", f"logfile {self.log}", *lines]
        self._config.write_text("".join(f"{line}\n" for line in config))

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._folder / "server.log"

    @property
    def running(self) -> bool:
        """Whether it was started, and not killed since."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def address(self) -> str:
        """As host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def _config(self) -> Path:
        return self._folder / "valkey.conf"

    def start(self) -> None:
        """Start, with what the configuration file says by now. `wait` says when it answers."""
        flags = ["--sentinel"] if self._sentinel else []
        self._process = subprocess.Popen(
            [str(valkey_server()), str(self._config), *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def wait(self) -> None:
        """Wait for the first answer."""

        def answers() -> bool:
            with contextlib.suppress(redis.RedisError), self.connected() as server:
                return bool(server.ping())
            return False

        wait_until(answers, lambda: f"no answer: {self.log.read_text()[-600:]}")

    def kill(self) -> None:
        """End it as a power cut does; nothing happens to one that does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE)
            self._process = None

    def freeze(self) -> None:
        """Let it stand still with its connections open."""
        self._process_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._process_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def connected(self) -> Iterator["redis.Redis"]:
        """A client with all rights."""
        with redis.Redis(
            "127.0.0.1", self.port, password=self.password, socket_timeout=_ANSWER_TIMEOUT
        ) as client:
            yield client

    def ask(self, *command: str | int) -> Any:
        """The answer to one command."""
        with self.connected() as client:
            return client.execute_command(*command)  # type: ignore[no-untyped-call]

    def _process_signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, all different."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
