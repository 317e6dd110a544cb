"""Revoked and logged in again within one second: order counts, no clock does."""

import itertools

from tests.support.callers import Callers
from tests.support.fixtures import StartServer
from tests.support.outcomes import outcome
from tests.support.world import World
from tokenservice.v1 import types_pb2 as types

ROUNDS = 20


async def issued_second(node: Callers, tokens: types.TokenSet) -> int:
    """When the access token was made, as its verdict says."""
    answer = await node.gateway.validate(tokens.access_tokens[0].token)
    assert answer.verdict == types.VERDICT_ACTIVE
    return answer.principal.issued_at.seconds


async def require_only_the_new(
    nodes: tuple[Callers, Callers], old: types.TokenSet, new: types.TokenSet, revision: int
) -> None:
    """The old session is dead on each node, the new one alive on each."""
    for node in nodes:
        gateway = node.gateway
        access = old.access_tokens[0].token
        assert await gateway.verdict(access, min_revision=revision) == "REVOKED"
        assert await outcome(node.client("api").exchange(old.session_token)) == "TOKEN_REVOKED"
        access = new.access_tokens[0].token
        assert await gateway.verdict(access, min_revision=revision) == "ACTIVE"
    token = new.session_token
    for node in nodes:
        token = (await node.client("api").exchange(token)).tokens.session_token


async def test_on_machines_whose_clocks_are_an_hour_apart(
    world: World, start_server: StartServer
) -> None:
    """All nodes follow one clock, that of the database, and the machines' own do not matter."""
    ahead, behind = (
        start_server(module="tests.faults.skewed", extra={"TEST_CLOCK_SHIFT": shift})
        for shift in ("1800", "-1800")
    )
    within_a_second = 0
    async with Callers(world, ahead.address) as one, Callers(world, behind.address) as two:
        places = itertools.cycle(itertools.product((one, two), repeat=3))
        for _ in range(ROUNDS):
            first, second, third = next(places)
            old = await first.own_session()
            before = await issued_second(first, old)
            revision = (await second.admin.revoke(subject="demo-api")).revision
            new = await third.own_session()
            within_a_second += before == await issued_second(third, new)
            await require_only_the_new((one, two), old, new, revision)
    assert within_a_second > 0


async def test_on_nodes_that_believe_in_other_times(
    world: World, start_server: StartServer
) -> None:
    """Should the nodes' idea of the time itself be an hour apart, sessions still end in order.

    (An access token is judged by the time as well; that nodes agree on it is the test above.)
    """
    ahead, behind = (
        start_server(module="tests.support.shifted_server", extra={"TEST_CLOCK_SHIFT": shift})
        for shift in ("1800", "-1800")
    )
    async with Callers(world, ahead.address) as one, Callers(world, behind.address) as two:
        for first, second, third in itertools.product((one, two), repeat=3):
            old = await first.own_session()
            revision = (await second.admin.revoke(subject="demo-api")).revision
            new = await third.own_session()
            access = new.access_tokens[0].token
            assert await third.gateway.verdict(access, min_revision=revision) == "ACTIVE"
            for node in (one, two):
                exchanged = await outcome(node.client("api").exchange(old.session_token))
                assert exchanged == "TOKEN_REVOKED"
                renewed = await node.client("api").exchange(new.session_token)
                new = renewed.tokens
