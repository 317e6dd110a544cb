"""One PostgreSQL server of a replicated cluster: it is frozen, killed, cut off and promoted."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.support.namespaces import Namespace
from tests.support.ports import fixed_port
from tests.support.waiting import wait_until
from token_service.adapters.embedded import EmbeddedPostgres, binaries
from token_service.adapters.embedded.account import server_account
from token_service.adapters.embedded.cluster import postgres_processes
from token_service.adapters.embedded.process import run_to_end

DATABASE = "token_service"
_PROGRAMS = ("initdb", "postgres", "pg_basebackup", "pg_rewind")
_REJOIN_SECONDS = 120.0
_SETTINGS = {
    "shared_buffers": "32MB",
    "dynamic_shared_memory_type": "mmap",  # a killed server leaves nothing elsewhere
    "wal_keep_size": "512MB",  # a standby that was cut off for a while catches up without a slot
    "wal_retrieve_retry_interval": "100ms",
    "wal_receiver_status_interval": "1s",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    # Unlike those of the tests' shared server: a nemesis shows by the log that its fault was there.
    "log_min_messages": "warning",
}


class Member(EmbeddedPostgres):
    """A server that replicates from another one, or is the primary.

    Everything in it blocks; use a thread from asynchronous code.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        template: Path,
        home: Path,
        *,
        host: str = "127.0.0.1",
        inside: Namespace | None = None,
    ) -> None:
        """`template` is the data directory of a stopped server, which is copied; `inside` is the
        namespace that the server runs in, `host` its address there."""
        self.port = fixed_port()
        self._host = host
        own = {"listen_addresses": self._host, "port": str(self.port)}
        super().__init__(folder / name, settings={**_SETTINGS, **own}, shared_home=home)
        self._namespace = inside
        self.name = name
        self._folder = folder / name
        self._home = home
        self._frozen = False
        self._configured: dict[str, str] = {}
        self._folder.mkdir(parents=True)
        shutil.copy(template / "password", self._folder / "password")
        subprocess.run(["/bin/cp", "-a", template / "cluster", self.data], check=True)
        with (self.data / "pg_hba.conf").open("a") as rules:
            rules.write("host all,replication all samenet scram-sha-256\n")

    def start(self) -> None:
        """Start the server, where it belongs."""
        if self._namespace is None:
            super().start()
        else:
            self._namespace.run(super().start)

    @property
    def data(self) -> Path:
        """PostgreSQL's own folder of this member."""
        return self._folder / "cluster"

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self._host}:{self.port}"

    @property
    def password(self) -> str:
        """The superuser's password."""
        return (self._folder / "password").read_text().strip()

    def dsn_of(self, database: str) -> str:
        """The address over TCP."""
        return f"postgres://postgres:{self.password}@{self.address}/{database}"

    def sql(self, statement: str) -> str:
        """Run a statement as superuser in the database `postgres`; what psql prints."""
        return self._sql(statement)

    def log(self) -> str:
        """All that the server has logged."""
        return (self._folder / "server.log").read_text(errors="replace")

    def configure(self, **settings: str) -> None:
        """Change settings of the server, running or not; they hold until they are changed again."""
        self._configured |= settings
        quoted = {name: value.replace("'", "''") for name, value in self._configured.items()}
        lines = [f"{name} = '{value}'\n" for name, value in quoted.items()]
        (self.data / "postgresql.auto.conf").write_text("".join(lines))
        if self.running:
            before = self.sql("SELECT pg_conf_load_time()")
            self._process().send(signal.SIGHUP)
            wait_until(lambda: self.sql("SELECT pg_conf_load_time()") != before)

    def follow(self, primary: "Member") -> None:
        """Be a standby of `primary`; a stopped member becomes one when it starts."""
        if not self.running:
            (self.data / "standby.signal").touch()
        conninfo = f"{self._source(primary)} application_name={self.name}"
        self.configure(primary_conninfo=conninfo)

    def cut(self) -> None:
        """Let a standby receive nothing more until `follow`; the primary sees it hang up."""
        self.configure(primary_conninfo="")
        wait_until(lambda: not self.receives())

    def receives(self) -> bool:
        """Whether this standby is connected to a primary that sends to it."""
        return self.sql("SELECT count(*) FROM pg_stat_wal_receiver WHERE status='streaming'") == "1"

    def promote(self) -> None:
        """Make this standby a primary, as it is; returns when it accepts writes."""
        assert self.sql("SELECT pg_promote(true, 60)") == "t", f"{self.name} was not promoted"

    def freeze(self) -> None:
        """Stop all of its processes where they stand; its connections stay open."""
        self._frozen = True
        self._process().send(signal.SIGSTOP)
        for pid in postgres_processes(self.data):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        for pid in postgres_processes(self.data):
            os.kill(pid, signal.SIGCONT)
        self._frozen = False

    def stop(self) -> None:
        """Stop it in an orderly way, frozen or not."""
        if self._frozen:
            self.thaw()
        super().stop()

    def crash(self) -> None:
        """Kill all of its processes, frozen or not."""
        if self._frozen:
            for pid in postgres_processes(self.data):
                os.kill(pid, signal.SIGKILL)
            self._frozen = False
        super().crash()

    def in_recovery(self) -> bool:
        """Whether it is a standby now."""
        return self.sql("SELECT pg_is_in_recovery()") == "t"

    def received(self) -> int:
        """How far its log reaches, in bytes: written by a primary, received by a standby."""
        position = (
            "CASE WHEN pg_is_in_recovery() THEN coalesce(greatest(pg_last_wal_receive_lsn(),"
            " pg_last_wal_replay_lsn()), '0/0') ELSE pg_current_wal_lsn() END"
        )
        return int(self.sql(f"SELECT ({position}) - '0/0'::pg_lsn"))

    def replayed(self) -> int:
        """How far a standby shows what it received, in bytes of the log."""
        return int(self.sql("SELECT coalesce(pg_last_wal_replay_lsn(), '0/0') - '0/0'::pg_lsn"))

    def timeline(self) -> str:
        """The timeline of a primary, as eight hexadecimal digits."""
        return self.sql("SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)")

    def system_identifier(self) -> str:
        """The number that tells clusters apart; copies share it."""
        return self.sql("SELECT system_identifier FROM pg_control_system()")

    def rewind(self, primary: "Member") -> None:
        """Take back what this stopped member has alone, and follow `primary`."""
        self._run("pg_rewind", "-D", str(self.data), "--no-sync", source=primary)
        self.follow(primary)

    def reclone(self, primary: "Member") -> None:
        """Replace the data of this stopped member by a base backup, and follow `primary`."""
        shutil.rmtree(self.data)
        self.data.mkdir(mode=0o700)
        if account := server_account(primary.data):
            os.chown(self.data, account.uid, account.gid)
        self._run("pg_basebackup", "-D", str(self.data), "-cfast", "--no-sync", source=primary)
        self.follow(primary)

    def _run(self, program: str, *arguments: str, source: "Member") -> None:
        account = server_account(self.data)
        programs = binaries.postgres_bin_for(account, self._home, names=_PROGRAMS)
        name = {"pg_rewind": "--source-server", "pg_basebackup": "--dbname"}[program]
        command = [str(programs / program), *arguments, f"{name}={self._source(source)}"]
        run_to_end(command, account=account, timeout=_REJOIN_SECONDS)

    def _source(self, member: "Member") -> str:
        """Where to replicate from; the password is in a file that only the server's user reads."""
        secret = self._folder / "pgpass"
        secret.write_text(f"*:*:*:*:{member.password}\n")
        secret.chmod(0o600)
        if account := server_account(member.data):
            os.chown(secret, account.uid, account.gid)
        host, _, port = member.address.partition(":")
        return f"host={host} port={port} user=postgres dbname=postgres passfile={secret}"

    def _is_ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if len(lines) < 8 or lines[0].strip() != str(self.pid):
            return False
        return lines[7].strip() in ("ready", "standby")
