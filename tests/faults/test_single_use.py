"""I1 under fire: two real server processes, sixty-four presenters, one session token."""

import itertools

import pytest

from tests.support.api import exchange_id
from tests.support.fixtures import StartServer
from tests.support.outcomes import all_at_once, credential_of, outcome, reasons, replies
from tests.support.world import World

RACERS = 64
CLIENTS = ("demo-web", "demo-opaque", "demo-rolling")


@pytest.mark.parametrize("client", CLIENTS)
async def test_racers_with_different_ids_get_one_successor_at_most_and_lose_the_family(
    world: World, start_server: StartServer, client: str
) -> None:
    nodes = [start_server(), start_server()]
    async with (
        world.api(nodes[0].address, client) as one,
        world.api(nodes[1].address, client) as two,
        world.api(nodes[0].address, "demo-gateway") as gate_one,
        world.api(nodes[1].address, "demo-gateway") as gate_two,
    ):
        first = await one.login(world.username, world.password, audiences=["orders"])
        token = credential_of(first)
        callers = itertools.cycle((one, two))
        outcomes = await all_at_once(
            next(callers).exchange(token, exchange_id()) for _ in range(RACERS)
        )
        won = replies(outcomes)
        assert len(won) <= 1
        assert reasons(outcomes) <= {"TOKEN_REUSED", "TOKEN_REVOKED"}
        assert "TOKEN_REUSED" in reasons(outcomes)

        for tokens in (first, *(reply.tokens for reply in won)):
            assert await outcome(one.exchange(credential_of(tokens))) == "TOKEN_REVOKED"
            assert await outcome(two.exchange(credential_of(tokens))) == "TOKEN_REVOKED"
            revision = (await one.revoke(token=credential_of(tokens))).revision
            for gateway in (gate_one, gate_two):
                access = tokens.access_tokens[0].token
                assert await gateway.verdict(access, min_revision=revision) == "REVOKED"


@pytest.mark.parametrize("client", CLIENTS)
async def test_racers_with_one_id_converge_on_one_successor_and_the_family_lives(
    world: World, start_server: StartServer, client: str
) -> None:
    nodes = [start_server(), start_server()]
    async with (
        world.api(nodes[0].address, client) as one,
        world.api(nodes[1].address, client) as two,
        world.api(nodes[1].address, "demo-gateway") as gateway,
    ):
        first = await one.login(world.username, world.password, audiences=["orders"])
        token, shared = credential_of(first), exchange_id()
        callers = itertools.cycle((one, two))
        outcomes = await all_at_once(next(callers).exchange(token, shared) for _ in range(RACERS))
        won = replies(outcomes)
        assert reasons(outcomes) == set()
        assert len({credential_of(reply.tokens) for reply in won}) == 1
        assert [reply.replayed for reply in won].count(False) == 1

        successor = credential_of(won[0].tokens)
        following = await two.exchange(successor, exchange_id())
        access = following.tokens.access_tokens[0].token
        assert await gateway.verdict(access) == "ACTIVE"
