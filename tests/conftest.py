"""Fixtures shared by all tests: one PostgreSQL and one Valkey per session, a database per test."""

import itertools
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine

from tests.support.servers import ServerProcess
from token_service.adapters.embedded import EmbeddedPostgres, EmbeddedValkey
from token_service.adapters.postgres.migrate import migrate

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts its background jobs so, and the programs that tests interrupt inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["tests.support.fixtures", "tests.support.store_fixtures"]

_TESTS = Path(__file__).parent
_SLOW_FOLDERS = {"e2e", "faults", "pairing"}
_SLOW_FIXTURES = {"start_server"}
_SLOW_CLASSES = {ServerProcess, EmbeddedPostgres, EmbeddedValkey, RuleBasedStateMachine}
_SLOW_MODULES = {
    "test_follower",
    "test_nothing_consumed",
    "test_pool",
    "test_qr_gateway",
    "test_races",
    "test_short",
}
"""Elsewhere those that take longest."""
_FAST_MODULES = {"test_documents"}
"""The exception among the slow folders."""

_TEMPLATE = "migrated"
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in it is made by mkdtemp
_MEMORY_NEEDED = 2 * 1024**3  # bytes
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what starts processes or stores of its own, runs a state machine, or takes
    longest: what is in the folders for that, and elsewhere whatever has the means at hand."""
    for item in items:
        if isinstance(item, pytest.Function) and _is_slow(item):
            item.add_marker(pytest.mark.slow)


def _is_slow(item: pytest.Function) -> bool:
    if item.path.stem in _FAST_MODULES:
        return False
    return (
        item.path.relative_to(_TESTS).parts[0] in _SLOW_FOLDERS
        or item.path.stem in _SLOW_MODULES
        or item.path.parent.name == "sdk"
        or not _SLOW_FIXTURES.isdisjoint(item.fixturenames)
        or any(one in _SLOW_CLASSES for one in vars(item.module).values() if isinstance(one, type))
    )


@dataclass(frozen=True, slots=True)
class Stores:
    """The running servers of this session."""

    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey


def _parent() -> Path | None:
    """Prefer memory to a disk, for speed; containers often have a tiny /dev/shm."""
    usable = _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK)
    return _MEMORY if usable and shutil.disk_usage(_MEMORY).free > _MEMORY_NEEDED else None


@pytest.fixture(scope="session")
def open_dir() -> Iterator[Path]:
    """A temporary folder that other users may pass through (pytest's own are closed)."""
    folder = Path(tempfile.mkdtemp(prefix="token-service-tests-", dir=_parent()))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def embedded(open_dir: Path) -> Iterator[Stores]:
    """PostgreSQL (without fsync) and Valkey, with a migrated template database."""
    with (
        EmbeddedPostgres(open_dir / "postgres", fsync=False) as postgres,
        EmbeddedValkey(open_dir / "valkey") as valkey,
    ):
        migrate(postgres.create_database(_TEMPLATE))
        yield Stores(postgres, valkey)


@pytest.fixture
def dsn(embedded: Stores) -> Iterator[str]:
    """The address of a fresh, migrated database."""
    name = f"test_{next(_numbers)}"
    yield embedded.postgres.create_database(name, template=_TEMPLATE)
    embedded.postgres.drop_database(name)


@pytest.fixture
def redis_url(embedded: Stores) -> str:
    """The address of the empty Valkey."""
    with redis.from_url(embedded.valkey.url) as connection:
        connection.flushall()
    return embedded.valkey.url
