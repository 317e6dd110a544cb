"""Fixtures on top of the stores: a seeded world, servers in this process and in others."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.support.clocks import ShiftedClock
from tests.support.documented import documented
from tests.support.servers import REFUSED, ServerProcess
from tests.support.world import World, seed
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.app import Application
from token_service.app.parts import Parts

if TYPE_CHECKING:
    from tests.conftest import Stores

SEEDED = "seeded"

StartServer = Callable[..., ServerProcess]
StartApplication = Callable[..., Awaitable["LocalServer"]]


class LocalServer:
    """A server in this process, with a clock that the test moves."""

    def __init__(self, application: Application, address: str, clock: ShiftedClock) -> None:
        self.application = application
        self.address = address
        self.clock = clock


@pytest.fixture(scope="session", autouse=True)
def _only_documented_errors() -> Iterator[None]:
    """Whatever the tests do: no server process refuses a call for a reason that is not documented
    for it."""
    yield
    undocumented = [pair for pair in REFUSED if not documented().allows(*pair)]
    assert undocumented == []


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def seeded(embedded: "Stores") -> World:
    """A template database with the demo clients and user; nobody stays connected to it."""
    dsn = embedded.postgres.create_database(SEEDED, template="migrated")
    return await seed(World(dsn, None, SecretKeys.generate_text(), {}, "", ""))


@pytest.fixture
def world(seeded: World, embedded: "Stores", redis_url: str) -> Iterator[World]:
    """The seeded data in a database of the test's own."""
    name = f"world_{next(_numbers)}"
    yield seeded.moved_to(embedded.postgres.create_database(name, template=SEEDED), redis_url)
    embedded.postgres.drop_database(name)


@pytest.fixture
def start_server(world: World) -> Iterator[StartServer]:
    """Start server processes on `world`; they are killed at the end."""
    started: list[ServerProcess] = []

    def start(
        *, module: str = "token_service", extra: Mapping[str, str] | None = None, **settings: str
    ) -> ServerProcess:
        environment = {**world.environment(**settings), **(extra or {})}
        server = ServerProcess(environment, module=module)
        started.append(server)
        return server

    yield start
    for server in started:
        server.kill()
        sys.stdout.writelines(server.output[-40:])  # pytest shows it where the test failed


@pytest_asyncio.fixture(loop_scope="session")
async def start_application(world: World) -> AsyncIterator[StartApplication]:
    """Start servers in this process, each with a clock of its own."""
    started: list[LocalServer] = []

    async def start(clock: ShiftedClock | None = None, **settings: Any) -> LocalServer:
        clock = clock or ShiftedClock()
        configured = world.settings(**settings)
        parts = await Parts.open(configured, clock)
        application = await Application.create(configured, parts)
        server = LocalServer(application, await application.start(), clock)
        started.append(server)
        return server

    yield start
    for server in started:
        await server.application.stop()


def _numbering() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


_numbers = _numbering()
