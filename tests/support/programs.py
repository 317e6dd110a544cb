"""Programs and rights that only some machines have; without them a test is skipped and says why."""

import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

import pytest

from token_service.adapters.embedded.account import reachable, server_account, traversable

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def program(name: str) -> Path:
    """Where a program of the system lies; skips the test where there is none."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"needs {name}: make setup-stores")
    return Path(found)


def wheel(module: str) -> None:
    """Skip the test where the module's wheel is not installed."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"needs {module}: make setup-stores")


def run_as_server(module: str) -> list[str]:
    """A command that runs a module of our wheels as `nobody`, as which root starts servers.

    That user may not get at the interpreter of the virtual environment; then the system's of the
    same version runs it. Skips the test where there is none.
    """
    wheel(module)
    account = server_account(Path("/nonexistent"))
    wheels = Path(sysconfig.get_path("purelib"))
    if not traversable(wheels, account):
        pytest.skip(f"{wheels} is closed to the user 'nobody', as which root starts servers")
    own = Path(sys.executable).resolve()
    system = Path("/usr/bin") / f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (own, system):
        if python.exists() and reachable(python, account):
            start = f"import runpy, sys; sys.path.append({str(wheels)!r})"
            return [
                str(python),
                "-c",
                f"{start}; runpy.run_module({module!r}, run_name='__main__')",
            ]
    pytest.skip(f"{own} is closed to the user 'nobody', and there is no {system}")


def root(why: str) -> None:
    """Skip the test for all but root, and where root may not do it either (a container)."""
    if os.geteuid() != 0:
        pytest.skip(f"needs root {why}")
