"""Where a PostgreSQL cluster's files lie, who owns them, and how a new one is made."""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from token_service.adapters.embedded.account import (
    Account,
    make_passable,
    server_account,
    traversable,
)
from token_service.adapters.embedded.errors import EmbeddedError
from token_service.adapters.embedded.place import DataDir
from token_service.adapters.embedded.process import run_to_end

_INITDB_SECONDS = 120.0
_LOCATION = "location"
_ORIGIN = "origin"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's folder (it need not exist yet) and the user that its server runs as."""

    path: Path
    account: Account | None


def place_cluster(data: DataDir, home: Path, notify: Callable[[str], None]) -> Cluster:
    """Find the cluster of a data directory, or choose where a new one goes.

    It lies in the data directory; only where the server's user cannot get there (started by root
    below a closed folder) it lies below `home`, which `notify` is told.
    """
    located = data.recall(_LOCATION)
    path = Path(located) / "cluster" if located else data.path / "cluster"
    account = server_account(path)
    if not located and not path.exists() and not traversable(data.path, account):
        folder = _new_location(data, home)
        path = folder / "cluster"
        notify(
            f"{data.path} lies below a folder that is closed to the database server's user; "
            f"its data are in {folder}"
        )
    if not traversable(path.parent, account):
        raise EmbeddedError(
            f"the database server's user cannot get to {path}: open the folders above it "
            "(chmod o+x), or choose another data directory"
        )
    return Cluster(path, account)


def _new_location(data: DataDir, home: Path) -> Path:
    """Create a folder for the cluster below `home`, and drop those of deleted data directories."""
    make_passable(home)
    for folder in home.glob("postgres-*"):
        origin = folder / _ORIGIN
        # The data directory was emptied since: without its password nobody can use these data.
        if (
            origin.exists()
            and origin.read_text() == str(data.path)
            and not postgres_processes(folder)
        ):
            shutil.rmtree(folder)
    folder = home / f"postgres-{secrets.token_hex(4)}"
    folder.mkdir()
    folder.chmod(0o711)
    (folder / _ORIGIN).write_text(str(data.path))
    data.remember(_LOCATION, str(folder))
    return folder


def initialise(
    cluster: Cluster, programs: Path, *, scratch: Path, user: str, password: str, fsync: bool
) -> None:
    """Create an empty cluster with one superuser; a run that was cut short leaves no half of it.

    `scratch` is a private folder of the server's user: initdb reads the password from a file.
    """
    unfinished = cluster.path.with_name("cluster.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    password_file = scratch / "password"
    with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(password + "\n")
    if cluster.account is not None:
        for path in (unfinished, password_file):
            os.chown(path, cluster.account.uid, cluster.account.gid)
    command = [str(programs / "initdb"), "-D", str(unfinished), "-U", user, "-E", "UTF8"]
    command += ["--locale=C", "--auth=scram-sha-256", f"--pwfile={password_file}"]
    command += ["--no-instructions", *([] if fsync else ["--no-sync"])]
    try:
        run_to_end(command, account=cluster.account, timeout=_INITDB_SECONDS)
    finally:
        password_file.unlink()
    unfinished.rename(cluster.path)


def server_is_ready(cluster: Path, pid: int) -> bool:
    """Whether the server says so in its status file, as `pg_ctl --wait` reads it."""
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def postgres_processes(folder: Path) -> list[int]:
    """Return the live PostgreSQL processes that work in `folder` or below it.

    Every process of a PostgreSQL server works in its data directory. Zombies have no directory.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            # Gone meanwhile, a zombie, or another user's: no server of ours.
            with contextlib.suppress(OSError):
                inside = (entry / "cwd").readlink().is_relative_to(folder)
                if inside and (entry / "comm").read_text().strip() == "postgres":
                    found.append(int(entry.name))
    return found


def wait_until_unused(folder: Path, seconds: float) -> None:
    """Wait for processes of an earlier server to leave `folder`; raise EmbeddedError if they stay.

    A server whose parent was killed is told so by the kernel, and needs a moment to shut down.
    """
    deadline = time.monotonic() + seconds
    while remaining := postgres_processes(folder):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"a server still runs on {folder} (pids {remaining})")
        time.sleep(0.02)
