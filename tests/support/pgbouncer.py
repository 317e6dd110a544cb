"""PgBouncer between a server and its PostgreSQL, in session or in transaction mode."""

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.ports import fixed_port
from tests.support.programs import needs, program
from token_service.adapters.embedded.account import Account, server_account
from token_service.adapters.embedded.process import ServerProcess
from token_service.adapters.embedded.server import EmbeddedServer

_HOST = "127.0.0.1"


class PgBouncer(EmbeddedServer):
    """One pooler as Debian configures it: it accepts no startup parameter that it does not know.

    Everything blocks; use a thread from asynchronous code. Skips the test where it is missing.
    """

    _stop_steps = ((signal.SIGTERM, 10.0),)

    def __init__(self, folder: Path, dsn: str, *, mode: str, **settings: str) -> None:
        """Pool connections to the database of `dsn` (one host) for the same user.

        `mode` is `session` or `transaction`; `settings` are more lines of its configuration.
        """
        needs("pgbouncer")
        super().__init__(folder, start_timeout=30.0)
        self.port = fixed_port()
        self._folder = folder
        self._settings = {"pool_mode": mode, "default_pool_size": "20", **settings}
        self._target = dsn

    @property
    def dsn(self) -> str:
        """The address of the pooled database."""
        parts = urlsplit(self._target)
        credentials = f"{parts.username}:{parts.password}"
        return f"postgres://{credentials}@{_HOST}:{self.port}{parts.path}"

    def point_at(self, dsn: str) -> None:
        """Send the connections from now on to another server, as after a failover."""
        self._target = dsn
        self._write()
        self._process().send(signal.SIGHUP)

    def freeze(self) -> None:
        """Let nothing through while connections stay open."""
        self._process().send(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._process().send(signal.SIGCONT)

    def log(self) -> str:
        """All that it has logged."""
        return (self._folder / "pgbouncer.log").read_text()

    def _launch(self) -> ServerProcess:
        self._write()
        return ServerProcess(
            [program("pgbouncer"), "-q", str(self._config)],
            log=self._folder / "pgbouncer.log",
            death_signal=signal.SIGKILL,
            account=self._account,
        )

    @property
    def _config(self) -> Path:
        return self._folder / "pgbouncer.ini"

    @property
    def _account(self) -> Account | None:
        return server_account(self._folder / "new")

    def _is_ready(self) -> bool:
        with suppress(OSError), socket.create_connection((_HOST, self.port)):
            return True
        return False

    def _write(self) -> None:
        """Its configuration and its list of users, for its own user alone."""
        parts = urlsplit(self._target)
        query = parse_qs(parts.query)
        host = parts.hostname or query["host"][0]
        port = parts.port or int(query.get("port", ["5432"])[0])
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        users = self._folder / "users.txt"
        settings = {
            "listen_addr": _HOST,
            "listen_port": str(self.port),
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": str(users),
            "admin_users": user,
            **self._settings,
        }
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        databases = f"[databases]\n* = host={host} port={port}\n[pgbouncer]\n"
        self._write_privately(users, f'"{user}" "{password}"\n')
        self._write_privately(self._config, databases + "".join(lines))

    def _write_privately(self, path: Path, text: str) -> None:
        path.touch(mode=0o600)
        path.write_text(text)
        if account := self._account:
            os.chown(path, account.uid, account.gid)
