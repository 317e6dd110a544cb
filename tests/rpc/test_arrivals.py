"""Calls whose request does not come, comes late, or is not what it seems."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from tests.rpc.echo import (
    ALICE,
    DIALOGUE,
    ECHO,
    HOT,
    POLICIES,
    STREAM,
    World,
    connected,
    failure,
    raw,
    serving,
    stream_stream,
    stream_unary,
    text,
    unary_stream,
    unary_unary,
)
from tests.support.waiting import until
from token_service.rpc.calls import shared
from token_service.rpc.calls.pipeline import BOUNDS
from token_service.rpc.policy_table import LARGE_REQUEST, METHODS, Work

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
OF_CLIENTS = pytest.mark.parametrize("method", [ECHO, HOT, STREAM])


def without_request(channel: grpc.aio.Channel, method: str, **call: Any) -> Any:
    """A call of which only the headers are sent."""
    if POLICIES[method].work in {Work.STREAM, Work.PROBE_STREAM}:
        return stream_stream(channel, method)(**call).read()
    return stream_unary(channel, method)(**call)


async def until_waiting(world: World, number: int) -> None:
    assert world.pipeline is not None
    waiting = (world.pipeline.shared.arrivals, world.pipeline.shared.anonymous_arrivals)
    await until(lambda: sum(arrivals.waiting for arrivals in waiting) >= number)


@OF_CLIENTS
async def test_no_request_is_waited_for_from_who_may_not_call(
    channel: grpc.aio.Channel, method: str
) -> None:
    refused = await failure(without_request(channel, method))
    assert (refused.code, refused.reason) == (
        StatusCode.UNAUTHENTICATED,
        "CALLER_UNAUTHENTICATED",
    )


@pytest.mark.parametrize("method", [ECHO, HOT, STREAM, CHECK, WATCH, DIALOGUE])
async def test_a_request_that_does_not_come_is_not_waited_for_long(method: str) -> None:
    world = World()
    async with serving(world, arrival=0.2), connected(world) as channel:
        refused = await failure(without_request(channel, method, metadata=ALICE))
        assert (refused.code, refused.reason) == (
            StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE_EXCEEDED",
        )
        assert refused.message == "the request did not arrive in time"
        assert world.callers == []


@pytest.mark.parametrize("method", [ECHO, HOT, STREAM, DIALOGUE])
async def test_a_call_without_a_request_is_told_so(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    nothing: list[bytes] = []
    if method in {ECHO, HOT}:
        call: Any = stream_unary(channel, method)(iter(nothing), metadata=ALICE)
    else:
        call = stream_stream(channel, method)(iter(nothing), metadata=ALICE).read()
    refused = await failure(call)
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert refused.message == "the request is missing"
    assert world.callers == []


@pytest.mark.parametrize("method", [ECHO, HOT])
async def test_who_waits_for_a_request_takes_no_place(method: str) -> None:
    world = World()
    bounds = {**BOUNDS, Work.UNARY: 1}
    async with serving(world, bounds=bounds), connected(world) as channel:
        waiting = [
            asyncio.ensure_future(without_request(channel, method, metadata=ALICE))
            for _ in range(5)
        ]
        await until_waiting(world, 5)
        assert world.pipeline is not None
        assert world.pipeline.bounds[Work.UNARY].active == 0
        assert text(await unary_unary(channel, method)(raw("x"), metadata=ALICE)) == "x"
        for call in waiting:
            call.cancel()


@pytest.mark.parametrize(("method", "limit"), [(CHECK, "ANONYMOUS_"), (HOT, "")])
async def test_who_has_waited_longest_makes_room(
    monkeypatch: pytest.MonkeyPatch, method: str, limit: str
) -> None:
    monkeypatch.setattr(shared, f"MOST_{limit}ARRIVING", 2)
    world = World()
    async with serving(world), connected(world) as channel:
        first, second = [
            asyncio.ensure_future(failure(without_request(channel, method, metadata=ALICE)))
            for _ in range(2)
        ]
        await until_waiting(world, 2)
        await unary_unary(channel, method)(b"", metadata=ALICE)
        ended, still_waiting = await asyncio.wait(
            [first, second], return_when=asyncio.FIRST_COMPLETED
        )
        (refused,) = [call.result() for call in ended]
        assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refused.retry_after == 0.2
        assert still_waiting
        for call in still_waiting:
            call.cancel()


@pytest.mark.parametrize("method", [ECHO, HOT, STREAM, CHECK])
async def test_what_is_compressed_is_refused_and_never_inflated(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    multi = unary_stream if method == STREAM else unary_unary
    call = multi(channel, method)(
        raw("x" * 1_000), metadata=ALICE, compression=grpc.Compression.Gzip
    )
    refused = await failure(call.read() if method == STREAM else call)
    assert refused.code is StatusCode.UNIMPLEMENTED
    assert "gzip" in refused.message
    assert world.callers == []


async def test_the_library_takes_what_the_largest_method_takes() -> None:
    assert max(row.max_bytes for row in METHODS.values()) == LARGE_REQUEST
    largest = max(row.max_bytes for row in POLICIES.values())
    async with serving() as world, connected(world) as channel:
        call = unary_unary(channel, ECHO)
        assert (await failure(call(b"x" * largest, metadata=ALICE))).reason == "FIELD_INVALID"
        refused = await failure(call(b"x" * (largest + 1), metadata=ALICE))
        assert refused.code is StatusCode.RESOURCE_EXHAUSTED
