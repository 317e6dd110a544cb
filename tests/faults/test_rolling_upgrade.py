"""The version before this one beside it: on one database, under load, through the migration."""

import asyncio
import io
import json
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.steady import Steady
from tests.support.both_ways import BothWays
from tests.support.callers import Callers
from tests.support.servers import ROOT, ServerProcess, inherited
from tests.support.world import World
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.postgres.migrate import migrate

if TYPE_CHECKING:
    from tests.conftest import Stores

FORMER = "ee057f9d17bd"
"""The commit that stands for the former version, until releases are tagged."""

SEED = """
import asyncio, json, sys
from tests.support.world import World, seed
empty = World(*json.load(sys.stdin), {}, "", "")
made = asyncio.run(seed(empty))
print(json.dumps([made.clients, made.username, made.password]))
"""


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its files."""
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is needed for the files of the former version")
    packed = subprocess.run([git, "archive", FORMER], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip(f"this clone lacks the history: there is no commit {FORMER}")
    folder = tmp_path_factory.mktemp("former")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


@pytest.fixture
def former_world(former: Path, embedded: "Stores") -> Iterator[World]:
    """A database as the former version migrated and seeded it."""
    dsn = embedded.postgres.create_database("former")
    migrate(dsn, migrations=former / "token_service/adapters/postgres/migrations")
    place = (dsn, embedded.valkey.url, SecretKeys.generate_text())
    seeded = subprocess.run(
        [sys.executable, "-c", SEED],
        cwd=former,
        env=inherited(former),
        input=json.dumps(place),
        capture_output=True,
        text=True,
        check=True,
    )
    yield World(*place, *json.loads(seeded.stdout))
    embedded.postgres.drop_database("former")


async def test_both_versions_work_on_one_database_through_the_migration(
    former: Path, former_world: World
) -> None:
    world = former_world
    environment = world.environment()
    with ExitStack() as stack:

        def started(root: Path) -> ServerProcess:
            server = ServerProcess(environment, root=root)
            stack.callback(sys.stdout.writelines, server.output)
            stack.callback(server.kill)
            return server

        old = started(former)
        async with Steady.calling(world, old.address) as load:
            await load.more()
            await asyncio.to_thread(migrate, world.dsn)
            await load.more()
            new = started(ROOT)
            async with (
                Steady.calling(world, new.address) as beside,
                Callers(world, old.address) as before,
                Callers(world, new.address) as after,
            ):
                between = BothWays(before, after)
                await between.everything()
                assert await between.failures_until_locked()
                begun = await between.pairings()
                await beside.more()
                await between.finish(begun)
            assert beside.failures == []
        assert load.failures == []
        # The way back: the former version starts with the newer schema.
        assert old.terminate() == 0
        again = started(former)
        async with Callers(world, again.address) as back, Callers(world, new.address) as after:
            await BothWays(back, after).everything()
        for server in (new, again):
            assert server.terminate() == 0
            assert "Traceback" not in "".join(server.output)
