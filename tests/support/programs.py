"""Programs and rights that only some machines have; without them a test is skipped and says why."""

import os
import shutil
from pathlib import Path

import pytest

from token_service.adapters.embedded.account import server_account, traversable

_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def program(name: str) -> Path:
    """Where a program of the system lies; skips the test where there is none."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"needs {name}: make setup-stores")
    return Path(found)


def wheel(module: str) -> None:
    """Skip the test where the module's wheel is not installed, or closed to a server's user."""
    found = pytest.importorskip(module, reason=f"needs {module}: make setup-stores")
    folder = Path(str(found.__file__)).parent
    if not traversable(folder, server_account(Path("/nonexistent"))):
        pytest.skip(f"{folder} is closed to the user 'nobody', as which root starts servers")


def root(why: str) -> None:
    """Skip the test for all but root, and where root may not do it either (a container)."""
    if os.geteuid() != 0:
        pytest.skip(f"needs root {why}")
