"""Every error that the API documents can be had, and no other one is."""

import sys
from collections.abc import AsyncIterator, Awaitable

import asyncpg
import grpc
import pytest
import pytest_asyncio

from tests.conftest import Stores
from tests.integration.error_causes import CAUSES
from tests.integration.error_causes.general import GENERAL_CAUSES, OURS, SETTINGS, ask_raw
from tests.integration.error_causes.scene import ADMIN, Scene
from tests.support.api import reason_of
from tests.support.documented import REASONS, documented
from tests.support.fixtures import SEEDED
from tests.support.servers import ServerProcess
from tests.support.world import World
from token_service.domain.errors import Reason

DOCUMENTED = sorted((rpc, reason) for rpc, own in documented().own.items() for reason in own)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(seeded: World, embedded: Stores) -> AsyncIterator[Scene]:
    """One server for all causes."""
    dsn = embedded.postgres.create_database("documented_errors", template=SEEDED)
    world = seeded.moved_to(dsn, embedded.valkey.url)
    server = ServerProcess(world.environment(**SETTINGS))
    database = await asyncpg.connect(dsn)
    try:
        async with Scene(world, server, database) as made:
            yield made
    finally:
        await database.close()
        server.kill()
        sys.stdout.writelines(server.output[-40:])
        embedded.postgres.drop_database("documented_errors")


async def refusal(call: Awaitable[object]) -> str:
    """The reason for which the call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return reason_of(refused.value) or refused.value.code().name


def test_each_documented_error_has_a_cause_and_each_cause_is_documented() -> None:
    assert set(CAUSES) == set(DOCUMENTED)
    assert set(GENERAL_CAUSES) == documented().general


def test_every_reason_is_documented_somewhere() -> None:
    anywhere = documented().general.union(*documented().own.values(), {"METHOD_UNKNOWN"})
    assert anywhere == set(Reason) == REASONS


def test_what_a_server_refuses_for_is_compared_with_the_documents() -> None:
    """`tests.support.fixtures` does so with all that server processes refuse in a test run."""
    exchange = "/tokenservice.v1.TokenService/Exchange"
    assert documented().allows(exchange, "TOKEN_REUSED")
    assert documented().allows(exchange, "STORE_UNAVAILABLE")
    assert not documented().allows(exchange, "CREDENTIALS_INVALID")
    assert documented().allows("/tokenservice.v1.TokenService/Reauthenticate", "TOKEN_REUSED")


@pytest.mark.parametrize(("rpc", "reason"), DOCUMENTED)
async def test_a_documented_error_is_what_its_cause_gets(
    scene: Scene, rpc: str, reason: str
) -> None:
    assert await refusal(CAUSES[rpc, reason](scene)) == reason


@pytest.mark.parametrize("method", OURS)
async def test_every_method_refuses_strangers_and_what_is_no_message(
    scene: Scene, method: str
) -> None:
    assert await refusal(ask_raw(scene, method)) == "CALLER_UNAUTHENTICATED"
    metadata = scene.api(ADMIN).metadata
    assert await refusal(ask_raw(scene, method, metadata)) == "FIELD_INVALID"


@pytest.mark.parametrize("reason", GENERAL_CAUSES)
async def test_a_general_error_is_what_its_cause_gets(scene: Scene, reason: str) -> None:
    """At the end: the last of them stops the server."""
    assert await refusal(GENERAL_CAUSES[reason](scene)) == reason
