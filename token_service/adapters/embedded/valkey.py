"""Valkey (the open continuation of Redis) as a child process, reachable by a socket only.

It keeps nothing on disk: what the service puts there may vanish at any time.
"""

import secrets
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from token_service.adapters.embedded import binaries
from token_service.adapters.embedded.process import ServerProcess
from token_service.adapters.embedded.server import EmbeddedServer

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


class EmbeddedValkey(EmbeddedServer):
    """One Valkey server; empty at every start."""

    _stop_steps = ((signal.SIGTERM, 5.0),)

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
        super().__init__(data_dir, start_timeout=start_timeout)
        self._settings = {**_SETTINGS, **(settings or {})}
        self._password = secrets.token_urlsafe(24)

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

    def _launch(self) -> ServerProcess:
        self._sockets.create(None)
        return ServerProcess(
            [str(binaries.valkey_server()), "-"],
            log=self._data.path / "server.log",
            death_signal=signal.SIGKILL,  # there is nothing to save
            stdin=self._configuration().encode(),
        )

    def _is_ready(self) -> bool:
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


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
