"""PostgreSQL as a child process: real, durable unless told otherwise, on a private socket."""

import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

from token_service.adapters.embedded import binaries
from token_service.adapters.embedded.cluster import (
    Cluster,
    initialise,
    place_cluster,
    server_is_ready,
    wait_until_unused,
)
from token_service.adapters.embedded.errors import EmbeddedError
from token_service.adapters.embedded.process import ServerProcess, child_environment
from token_service.adapters.embedded.server import EmbeddedServer

_USER = "postgres"
_DEFAULT_PORT = "5432"  # without TCP it is only part of the socket's file name
_INSTALLATION = Path(__file__).resolve().parents[3]
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_LEAVE_SECONDS = 15.0
_SQL_SECONDS = 60.0

_SETTINGS = {
    "listen_addresses": "",
    "port": _DEFAULT_PORT,
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The errors of statements quote values, which may be secrets. The client gets them; the log
    # keeps to the server's own affairs ("log" is more severe than "error" here).
    "log_min_messages": "log",
}


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


class EmbeddedPostgres(EmbeddedServer):
    """One PostgreSQL server. Started by root it runs as `nobody`, or the owner of existing data."""

    _stop_steps = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))  # "fast", then "immediate"

    def __init__(
        self,
        data_dir: Path | str,
        *,
        database: str = "token_service",
        fsync: bool = True,
        settings: Mapping[str, str] | None = None,
        start_timeout: float = 60.0,
        shared_home: Path | None = None,
        notify: Callable[[str], None] = _say,
    ) -> None:
        """Describe a server; nothing happens before `start`.

        `fsync=False` trades durability for speed, for tests. `settings` are added to the server's
        configuration. `start_timeout` is in seconds and includes crash recovery. Where root
        starts the server below a folder that is closed to the server's user, data and programs go
        to `shared_home` (default: below /var/lib/token-service), and `notify` gets a line.
        """
        super().__init__(data_dir, start_timeout=start_timeout)
        self._database = _checked(database)
        durability = {} if fsync else {"fsync": "off", "full_page_writes": "off"}
        self._settings = {**_SETTINGS, **durability, **(settings or {})}
        self._fsync = fsync
        self._home = shared_home or binaries.shared_home(_INSTALLATION)
        self._notify = notify
        self._cluster: Cluster | None = None
        self._password = ""

    def crash(self) -> None:
        """Kill the server without warning; the next `start` recovers what was committed."""
        super().crash()
        wait_until_unused(self.cluster, _LEAVE_SECONDS)

    @property
    def cluster(self) -> Path:
        """The folder of the cluster's files, known from the first start on."""
        if self._cluster is None:
            raise EmbeddedError("the embedded PostgreSQL has not been started")
        return self._cluster.path

    @property
    def dsn(self) -> str:
        """The address of the default database, password included; holds over stop and start."""
        return self.dsn_of(self._database)

    def dsn_of(self, database: str) -> str:
        """Return the address of a database, for asyncpg, libpq and dbmate alike."""
        host = quote(str(self._sockets.path), safe="/")
        port = self._settings["port"]
        suffix = "" if port == _DEFAULT_PORT else f"&port={port}"
        return f"postgres://{_USER}:{self._password}@/{_checked(database)}?host={host}{suffix}"

    def create_database(self, name: str, *, template: str | None = None) -> str:
        """Create a database, as a copy of `template` if given, and return its address.

        Nobody may be connected to the template meanwhile.
        """
        source = f' TEMPLATE "{_checked(template)}"' if template else ""
        self._sql(f'CREATE DATABASE "{_checked(name)}"{source};')
        return self.dsn_of(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, and end the connections to it."""
        self._sql(f'DROP DATABASE IF EXISTS "{_checked(name)}" WITH (FORCE);')

    def _launch(self) -> ServerProcess:
        cluster = self._cluster = place_cluster(self._data, self._home, self._notify)
        programs = binaries.postgres_bin_for(cluster.account, self._home)
        wait_until_unused(cluster.path.parent, _LEAVE_SECONDS)
        self._sockets.create(cluster.account)
        self._password = self._password_of(cluster.path)
        if not cluster.path.exists():
            initialise(
                cluster,
                programs,
                scratch=self._sockets.path,
                user=_USER,
                password=self._password,
                fsync=self._fsync,
            )
        # No process works on the cluster, so this one is left of a killed server. Its pid may be
        # another process's by now, and PostgreSQL would refuse to start.
        (cluster.path / "postmaster.pid").unlink(missing_ok=True)
        return ServerProcess(
            self._command(programs, cluster.path),
            log=self._data.path / "server.log",
            death_signal=signal.SIGINT,  # an orderly shutdown also where the parent was killed
            account=cluster.account,
        )

    def _command(self, programs: Path, cluster: Path) -> list[str]:
        command = [str(programs / "postgres"), "-D", str(cluster), "-k", str(self._sockets.path)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        return command

    def _password_of(self, cluster: Path) -> str:
        password = self._data.recall("password")
        if password is None:
            if cluster.exists():
                raise EmbeddedError(
                    f"{self._data.path}/password is missing, and the data in {cluster} cannot be "
                    "used without it: restore the file, or remove the data to start anew"
                )
            password = secrets.token_urlsafe(24)
            self._data.remember("password", password)
        return password

    def _is_ready(self) -> bool:
        return server_is_ready(self.cluster, self.pid)

    def _await_ready(self, server: ServerProcess) -> None:
        super()._await_ready(server)
        if self._database not in self._sql("SELECT datname FROM pg_database;").splitlines():
            self.create_database(self._database)

    def _sql(self, statement: str) -> str:
        """Run a statement as superuser, with psql, and return what it prints."""
        self._process()
        command = [str(binaries.postgres_bin() / "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1"]
        command += ["-h", str(self._sockets.path), "-U", _USER, "-d", "postgres"]
        command += ["-p", self._settings["port"]]
        try:
            result = subprocess.run(  # noqa: S603 - a program of our own choice
                command,
                input=statement,
                capture_output=True,
                text=True,
                check=False,
                timeout=_SQL_SECONDS,
                env={**child_environment(), "PGPASSWORD": self._password},
            )
        except subprocess.TimeoutExpired:
            raise EmbeddedError(f"psql did not finish within {_SQL_SECONDS:.0f} s") from None
        if result.returncode != 0:
            raise EmbeddedError(f"psql: {result.stderr.strip()}")
        return result.stdout.strip()


def _checked(name: str) -> str:
    """Return a database's name if it needs no quoting anywhere."""
    if not _NAME.fullmatch(name):
        raise EmbeddedError(f"not a database name: {name!r}")
    return name
