"""One Patroni with the PostgreSQL that it keeps."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.support.ports import fixed_port
from tests.support.postgres_member import DATABASE
from tests.support.programs import run_as_server
from tests.support.psql import run_psql
from tests.support.waiting import PATIENCE
from token_service.adapters.embedded import binaries
from token_service.adapters.embedded.account import server_account
from token_service.adapters.embedded.cluster import postgres_processes
from token_service.adapters.embedded.process import ServerProcess
from token_service.adapters.embedded.server import EmbeddedServer

_HOST = "127.0.0.1"
_PROGRAMS = (
    "initdb",
    "pg_basebackup",
    "pg_controldata",
    "pg_ctl",
    "pg_isready",
    "pg_rewind",
    "postgres",
)


class PatroniMember(EmbeddedServer):
    """Patroni as root's `nobody` or the current user, and its PostgreSQL. Everything blocks."""

    _stop_steps = ((signal.SIGTERM, 60.0),)

    def __init__(
        self, folder: Path, name: str, template: Path, etcd: str, settings: Mapping[str, Any]
    ) -> None:
        """`settings` are those of the whole cluster (in etcd), for whoever comes first."""
        super().__init__(folder / name, start_timeout=60.0)
        self.name = name
        self.port = fixed_port()
        self._rest = f"{_HOST}:{fixed_port()}"
        self._folder = folder / name
        self._home = folder / "home"
        self._etcd = etcd
        self._settings = settings
        self._frozen = False
        self._folder.mkdir(parents=True)
        self._folder.chmod(0o711)
        shutil.copy(template / "password", self._folder / "password")
        subprocess.run(["/bin/cp", "-a", template / "cluster", self.data], check=True)

    @property
    def data(self) -> Path:
        """PostgreSQL's own folder."""
        return self._folder / "cluster"

    @property
    def address(self) -> str:
        """Host and port of PostgreSQL."""
        return f"{_HOST}:{self.port}"

    @property
    def answers(self) -> bool:
        """Whether its Patroni runs and is not frozen."""
        return self.running and not self._frozen

    @property
    def rest_port(self) -> int:
        """Where Patroni answers whether this member is the primary."""
        return int(self._rest.rpartition(":")[2])

    @property
    def password(self) -> str:
        """The superuser's password."""
        return (self._folder / "password").read_text().strip()

    @property
    def dsn(self) -> str:
        """The address of this member's database."""
        return f"postgres://postgres:{self.password}@{self.address}/{DATABASE}"

    def sql(self, statement: str) -> str:
        """Run a statement as superuser in the database `postgres`; what psql prints."""
        return run_psql(statement, host=_HOST, port=self.port, password=self.password)

    def log(self) -> str:
        """All that Patroni and PostgreSQL have logged."""
        return (self._folder / "patroni.log").read_text(errors="replace")

    def ask(self, path: str, *, method: str = "GET", body: Any = None) -> tuple[int, str]:
        """Status and body of an answer of Patroni's REST API; raises OSError where none comes."""
        data = None if body is None else json.dumps(body).encode()
        connection = HTTPConnection(self._rest, timeout=PATIENCE)
        with closing(connection):
            connection.request(method, path, data)
            reply = connection.getresponse()
            return reply.status, reply.read().decode()

    def crash_postgres(self) -> None:
        """Kill PostgreSQL under a Patroni that lives."""
        self._signal_postgres(signal.SIGKILL)

    def crash(self) -> None:
        """Kill Patroni and PostgreSQL, as when their machine is lost."""
        self._process().send(signal.SIGSTOP)
        self._signal_postgres(signal.SIGKILL)
        self._frozen = False
        super().crash()

    def freeze_patroni(self) -> None:
        """Stop Patroni alone where it stands: its PostgreSQL goes on, whoever leads meanwhile."""
        self._frozen = True
        self._process().send(signal.SIGSTOP)

    def freeze(self) -> None:
        """Stop both where they stand."""
        self.freeze_patroni()
        self._signal_postgres(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal_postgres(signal.SIGCONT)
        self._process().send(signal.SIGCONT)
        self._frozen = False

    def stop(self) -> None:
        """Stop both in an orderly way, frozen or not."""
        if self._frozen:
            self.thaw()
        super().stop()
        self._signal_postgres(signal.SIGKILL)

    def _signal_postgres(self, number: signal.Signals) -> None:
        for pid in postgres_processes(self.data):
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, number)

    def _launch(self) -> ServerProcess:
        account = server_account(self.data)
        config = self._folder / "patroni.json"
        config.touch(mode=0o600)
        programs = binaries.postgres_bin_for(account, self._home, names=_PROGRAMS)
        config.write_text(json.dumps(self._configuration(programs)))  # JSON is YAML, too
        (self._folder / "private").mkdir(mode=0o700, exist_ok=True)
        if account is not None:
            for path in (config, self._folder / "private"):
                os.chown(path, account.uid, account.gid)
        return ServerProcess(
            [*run_as_server("patroni"), str(config)],
            log=self._folder / "patroni.log",
            death_signal=signal.SIGTERM,  # it stops its PostgreSQL
            account=account,
        )

    def _configuration(self, programs: Path) -> dict[str, Any]:
        login = {"username": "postgres", "password": self.password}
        return {
            "scope": "token-service",
            "name": self.name,
            "restapi": {"listen": self._rest, "connect_address": self._rest},
            "etcd3": {"host": self._etcd},
            "bootstrap": {"dcs": self._settings},
            "postgresql": {
                "listen": self.address,
                "connect_address": self.address,
                "data_dir": str(self.data),
                "bin_dir": str(programs),
                "pgpass": str(self._folder / "private" / "pgpass"),
                "authentication": {"superuser": login, "replication": login, "rewind": login},
                "parameters": {
                    "shared_buffers": "32MB",
                    "unix_socket_directories": "",
                    "dynamic_shared_memory_type": "mmap",  # a killed one leaves nothing elsewhere
                },
            },
        }

    def _is_ready(self) -> bool:
        try:
            return self.ask("/health")[0] == 200
        except OSError:
            return False
