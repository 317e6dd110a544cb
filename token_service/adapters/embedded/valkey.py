"""Valkey (the open continuation of Redis) as a child process, reachable by a socket only.

It keeps nothing on disk: what the service puts there may vanish at any time.
"""

import secrets
import signal
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from token_service.adapters.embedded import binaries
from token_service.adapters.embedded.errors import EmbeddedError
from token_service.adapters.embedded.place import DataDir, SocketDir
from token_service.adapters.embedded.process import ServerProcess

_SOCKET = "valkey.sock"
_PROBE_SECONDS = 1.0
_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "save": "",
    "appendonly": "no",
    "databases": "16",
    "maxmemory": "256mb",
    "maxmemory-policy": "allkeys-lru",
    "logfile": "",
}


class EmbeddedValkey:
    """One Valkey server; empty at every start. It ends with this process, however that ends."""

    def __init__(
        self,
        data_dir: Path | str,
        *,
        settings: Mapping[str, str] | None = None,
        start_timeout: float = 15.0,
    ) -> None:
        """Describe a server; nothing happens before `start`.

        `data_dir` gets the log and the lock; `settings` are added to the configuration;
        `start_timeout` is in seconds.
        """
        self._data = DataDir(Path(data_dir))
        self._sockets = SocketDir(self._data)
        self._settings = {**_SETTINGS, **(settings or {})}
        self._start_timeout = start_timeout
        self._password = secrets.token_urlsafe(24)
        self._server: ServerProcess | None = None

    def start(self) -> None:
        """Start the server and wait until it answers; raises EmbeddedError where it does not."""
        if self._server is not None:
            raise EmbeddedError("this server has been started already")
        self._data.acquire()
        try:
            self._sockets.create(None)
            self._server = ServerProcess(
                [str(binaries.valkey_server()), "-"],
                log=self._data.path / "server.log",
                death_signal=signal.SIGKILL,  # there is nothing to save
                stdin=self._configuration().encode(),
            )
            self._await_ready(self._server)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server; stopping twice is no error."""
        self._stop(signal.SIGTERM)

    def crash(self) -> None:
        """Kill the server without warning."""
        self._stop(signal.SIGKILL)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop."""
        self.stop()

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._server is None:
            raise EmbeddedError("the embedded Valkey is not running")
        return self._server.pid

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._server is not None and self._server.status() is None

    @property
    def url(self) -> str:
        """The address of database 0, password included; holds over stop and start."""
        return self.url_of(0)

    def url_of(self, database: int) -> str:
        """Return the address of one of the 16 logical databases, for redis.from_url."""
        path = quote(str(self._sockets.path / _SOCKET), safe="/")
        return f"unix://:{self._password}@{path}?db={database}"

    def _configuration(self) -> str:
        settings = {
            **self._settings,
            "unixsocket": str(self._sockets.path / _SOCKET),
            "dir": str(self._sockets.path),
            "requirepass": self._password,
        }
        return "".join(f"{name} {_quoted(value)}\n" for name, value in settings.items())

    def _await_ready(self, server: ServerProcess) -> None:
        deadline = time.monotonic() + self._start_timeout
        while not self._answers():
            if server.status() is not None:
                raise server.failure(f"ended with status {server.status()}")
            if time.monotonic() > deadline:
                raise server.failure(f"did not answer within {self._start_timeout:.0f} s")
            time.sleep(0.01)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_PROBE_SECONDS)
            try:
                probe.connect(str(self._sockets.path / _SOCKET))
                probe.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                reply = b""
                while reply.count(b"\r\n") < 2 and (part := probe.recv(256)):
                    reply += part
            except OSError:
                return False
        return reply == b"+OK\r\n+PONG\r\n"

    def _stop(self, first: signal.Signals) -> None:
        if self._server is not None:
            self._server.stop(((first, 5.0),))
            self._server = None
        if self._data.locked:
            self._sockets.remove()
            self._data.release()


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
