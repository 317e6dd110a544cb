"""Programs and rights that only some machines have; without them a test is skipped and says why."""

import importlib.util
import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

import pytest

from token_service.adapters.embedded.account import reachable, server_account, traversable

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def program(name: str) -> str:
    """Where a program of the system lies; its name alone where there is none."""
    return shutil.which(name, path=_PATH) or name


def lacking(
    *programs: str, modules: Sequence[str] = (), as_server: bool = False, root: str = ""
) -> str:
    """Why something cannot run on this machine; empty where it can.

    It needs programs of the system, modules of our wheels (with `as_server` within reach of the
    user that root starts servers as), and root where `root` says what for.
    """
    absent = [name for name in programs if shutil.which(name, path=_PATH) is None]
    absent += [name for name in modules if importlib.util.find_spec(name) is None]
    if absent:
        return f"needs {', '.join(absent)}: make setup-stores"
    if as_server and _python() is None:
        return f"{sys.executable} or its wheels are closed to 'nobody', who runs root's servers"
    if root and os.geteuid() != 0:
        return f"needs root, to {root}"
    return ""


def needs(*programs: str, modules: Sequence[str] = (), as_server: bool = False) -> None:
    """Skip the test where something is lacking, and say what."""
    if why := lacking(*programs, modules=modules, as_server=as_server):
        pytest.skip(why)


def run_as_server(module: str) -> list[str]:
    """A command that runs a module of our wheels, for the user that root starts servers as.

    That user may not get at the interpreter of the virtual environment; then the system's of the
    same version runs it.
    """
    found = f"import runpy, sys; sys.path.append({str(_wheels())!r})"
    run = f"runpy.run_module({module!r}, run_name='__main__')"
    return [str(_python()), "-c", f"{found}; {run}"]


def _python() -> Path | None:
    account = server_account(Path("/nonexistent"))
    if not traversable(_wheels(), account):
        return None
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (Path(sys.executable).resolve(), Path("/usr/bin") / version):
        if python.exists() and reachable(python, account):
            return python
    return None


def _wheels() -> Path:
    return Path(sysconfig.get_path("purelib"))
