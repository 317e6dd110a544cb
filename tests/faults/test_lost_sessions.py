"""Tokens whose session has no row any more, because it was removed or lost: they can be revoked."""

import asyncpg
import pytest

from tests.support.fixtures import StartServer
from tests.support.outcomes import outcome
from tests.support.world import World


async def lose_sessions(world: World) -> None:
    connection = await asyncpg.connect(world.dsn)
    try:
        await connection.execute("DELETE FROM sessions")
    finally:
        await connection.close()


@pytest.mark.parametrize("client", ["demo-web", "demo-opaque", "demo-rolling"])
async def test_what_validators_know_yet_is_revoked_by_its_identity(
    world: World, start_server: StartServer, client: str
) -> None:
    nodes = [start_server(), start_server()]
    async with (
        world.api(nodes[1].address, client) as owner,
        world.api(nodes[1].address, "demo-mobile") as stranger,
        world.api(nodes[0].address, "demo-gateway") as knowing,
        world.api(nodes[1].address, "demo-gateway") as unknowing,
    ):
        opened = await owner.login(world.username, world.password, audiences=["orders"])
        access = opened.access_tokens[0].token
        assert await knowing.verdict(access) == "ACTIVE"
        await lose_sessions(world)
        assert await knowing.verdict(access) == "ACTIVE"  # from what it holds

        if client == "demo-rolling":
            assert await outcome(stranger.revoke(token=access)) == "CLIENT_MISMATCH"
            assert await knowing.verdict(access) == "ACTIVE"
        revision = (await owner.revoke(token=access)).revision

        assert await knowing.verdict(access, min_revision=revision) == "REVOKED"
        assert await unknowing.verdict(access, min_revision=revision) != "ACTIVE"


@pytest.mark.parametrize("client", ["demo-web", "demo-rolling"])
async def test_what_is_revoked_gets_one_entry_however_often_it_is_asked_for(
    world: World, start_server: StartServer, client: str
) -> None:
    """All nodes and validators hold each entry for as long as tokens live."""
    async with world.api(start_server().address, client) as owner:
        opened = await owner.login(world.username, world.password, audiences=["orders"])
        if client == "demo-rolling":
            await lose_sessions(world)
        access = opened.access_tokens[0].token
        first = await owner.revoke(token=access)
        for _ in range(3):
            assert (await owner.revoke(token=access)).revision == first.revision
