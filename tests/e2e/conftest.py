"""The command line, and a server process for it to call."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Stores
from tests.support.command_line import CommandLine
from tests.support.fixtures import SEEDED
from tests.support.servers import ServerProcess
from tests.support.world import World
from token_service.cli.calling import demo_file
from token_service.cli.calling.demo_file import DemoClient, DemoFile, DemoUser


@pytest.fixture(scope="module")
def served(
    request: pytest.FixtureRequest, seeded: World, embedded: Stores
) -> Iterator[tuple[World, ServerProcess]]:
    """A seeded database of the test module's own, and a server process on it."""
    name = f"cli_{request.module.__name__.rpartition('.')[2]}"
    world = seeded.moved_to(embedded.postgres.create_database(name, template=SEEDED), None)
    server = ServerProcess(world.environment(login_attempts_per_account_and_address="3"))
    yield world, server
    server.kill()
    embedded.postgres.drop_database(name)


@pytest.fixture
def cli(served: tuple[World, ServerProcess], tmp_path: Path) -> CommandLine:
    """The command line beside the `credentials.json` of that server."""
    world, server = served
    demo_file.write(
        tmp_path,
        DemoFile(
            grpc=server.address,
            postgres=world.dsn,
            redis="",
            clients={name: DemoClient(name, secret) for name, secret in world.clients.items()},
            user=DemoUser(world.username, world.password),
        ),
    )
    return CommandLine(tmp_path)
