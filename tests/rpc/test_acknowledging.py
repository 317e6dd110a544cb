"""What is told to callers outlives a failover, whatever the handler does or forgets."""

from collections.abc import Callable

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue

from tests.rpc.echo import (
    ALICE,
    ECHO,
    HOT,
    World,
    connected,
    failure,
    raw,
    serving,
    text,
    unary_unary,
)
from token_service.domain import durability
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError, invalid_field

Step = Callable[[], None]


def _doing(*steps: Step, refusal: TokenServiceError | None = None) -> World:
    def answer(_: Caller, request: StringValue) -> StringValue:
        for step in steps:
            step()
        if refusal is not None:
            raise refusal
        return request

    return World(answer=answer)


async def _call(world: World, method: str = ECHO) -> str:
    async with serving(world), connected(world) as channel:
        reply = await unary_unary(channel, method)(raw("hello"), metadata=ALICE)
        return text(reply)


read, commit = durability.note_read, durability.note_commit
EXISTS = TokenServiceError(Reason.USER_EXISTS, "the name is taken")


@pytest.mark.parametrize(
    ("steps", "settled"),
    [((), 1), ((read,), 1), ((read, commit), 0), ((commit, read), 1), ((commit,), 0)],
)
async def test_a_success_rests_on_a_commit_that_came_last(
    steps: tuple[Step, ...], settled: int
) -> None:
    world = _doing(*steps)

    assert await _call(world) == "hello"

    assert len(world.durability.settled) == settled


@pytest.mark.parametrize(
    ("steps", "refusal", "settled"),
    [
        ((read,), EXISTS, 1),
        ((read, commit), EXISTS, 0),
        ((), EXISTS, 0),
        ((read,), invalid_field("name", "too long"), 0),
        ((read,), TokenServiceError(Reason.OVERLOADED, "try again"), 0),
    ],
)
async def test_a_refusal_that_rests_on_a_reading_is_as_safe(
    steps: tuple[Step, ...], refusal: TokenServiceError, settled: int
) -> None:
    world = _doing(*steps, refusal=refusal)

    async with serving(world), connected(world) as channel:
        told = await failure(unary_unary(channel, ECHO)(raw("x"), metadata=ALICE))

    assert told.reason == refusal.reason
    assert len(world.durability.settled) == settled


@pytest.mark.parametrize("refusal", [None, EXISTS])
async def test_what_cannot_be_made_safe_is_not_told(refusal: TokenServiceError | None) -> None:
    world = _doing(read, refusal=refusal)
    world.durability.away = True

    async with serving(world), connected(world) as channel:
        told = await failure(unary_unary(channel, ECHO)(raw("x"), metadata=ALICE))

    assert told.code is grpc.StatusCode.UNAVAILABLE
    assert told.reason == Reason.STORE_UNAVAILABLE


async def test_a_failover_during_the_call_is_not_overlooked() -> None:
    world = World()

    def fail_over(_: Caller, request: StringValue) -> StringValue:
        read()
        world.durability.epoch = "second"
        return request

    world.answer = fail_over
    await _call(world)

    assert world.durability.settled == ["first"]


async def test_what_only_reads_commits_nothing() -> None:
    world = _doing(read)

    await _call(world, HOT)

    assert world.durability.settled == []
