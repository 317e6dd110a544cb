"""Logins that race a disable on the other node: whichever commits first, the disable wins."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from tests.faults.waiting import until_recognised
from tests.support.callers import Callers
from tests.support.outcomes import outcome
from tests.support.waiting import patience
from tokenservice.v1 import types_pb2 as types

Nodes = tuple[Callers, Callers]

ROUNDS = 10
LOGINS_EACH = 2
MOST_LOGINS = 2_000
"""Of one worker in one round; it is refused long before, or the disable has no effect."""

LAST = 12
"""How many of the sessions that were opened last are looked at: those that raced."""


async def race(
    logins: Sequence[Callable[[], Awaitable[types.TokenSet]]],
    disable: Callable[[], Awaitable[int]],
) -> tuple[list[types.TokenSet], int]:
    """Log in all over again until refused; disable as soon as the first one is in. What was
    obtained last, and the revision of the disable."""
    obtained: list[types.TokenSet] = []
    first = asyncio.Event()

    async def log_in_again_and_again(login: Callable[[], Awaitable[types.TokenSet]]) -> None:
        for _ in range(MOST_LOGINS):
            tokens = await outcome(login())
            if isinstance(tokens, str):
                return
            obtained.append(tokens)
            first.set()
        raise AssertionError("nothing stopped the logins")

    workers = [asyncio.create_task(log_in_again_and_again(login)) for login in logins]
    async with patience():
        await first.wait()
    revision = await disable()
    await asyncio.gather(*workers)
    return obtained[-LAST:], revision


async def require_dead(
    nodes: Nodes, client: str, obtained: Sequence[types.TokenSet], revision: int
) -> None:
    """No access token and no session token of these is good for anything, anywhere."""
    for node in nodes:
        for tokens in obtained:
            access = tokens.access_tokens[0].token
            assert await node.gateway.verdict(access, min_revision=revision) == "REVOKED"
            exchanged = await outcome(node.client(client).exchange(tokens.session_token))
            assert exchanged == "TOKEN_REVOKED"


async def test_logins_racing_disable_user_leave_nothing_usable(nodes: Nodes) -> None:
    one, two = nodes
    for _ in range(ROUNDS):
        person = await one.new_person()
        obtained, revision = await race(
            [partial(node.log_in, person) for node in nodes for _ in range(LOGINS_EACH)],
            partial(two.disable_user, person.user_id),
        )
        await require_dead(nodes, "web", obtained, revision)
        await one.enable_user(person.user_id)
        await require_dead(nodes, "web", obtained, revision)
        renewed = await two.log_in(person)
        assert await one.gateway.verdict(renewed.access_tokens[0].token) == "ACTIVE"


async def test_logins_racing_disable_client_leave_nothing_usable(nodes: Nodes) -> None:
    one, two = nodes
    for _ in range(ROUNDS):
        obtained, revision = await race(
            [node.own_session for node in nodes for _ in range(2 * LOGINS_EACH)],
            partial(two.disable_client, "demo-api"),
        )
        for node in nodes:
            for tokens in obtained:
                access = tokens.access_tokens[0].token
                assert await node.gateway.verdict(access, min_revision=revision) == "REVOKED"
        assert await outcome(one.own_session()) == "CALLER_UNAUTHENTICATED"
        await one.enable_client("demo-api")
        await until_recognised(nodes, "api")
        await require_dead(nodes, "api", obtained, revision)


async def test_logins_of_people_racing_disable_client_leave_nothing_usable(nodes: Nodes) -> None:
    one, two = nodes
    for _ in range(ROUNDS):
        person = await one.new_person()  # logins per minute and account are limited
        obtained, revision = await race(
            [partial(node.log_in, person, "mobile") for node in nodes for _ in range(LOGINS_EACH)],
            partial(two.disable_client, "demo-mobile"),
        )
        await one.enable_client("demo-mobile")
        await until_recognised(nodes, "mobile")
        await require_dead(nodes, "mobile", obtained, revision)
