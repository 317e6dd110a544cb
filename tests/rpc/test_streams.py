"""Calls that stream."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc import StatusCode

from tests.rpc.echo import (
    ALICE,
    DIALOGUE,
    NOBODY,
    STREAM,
    World,
    connected,
    failure,
    raw,
    stream_stream,
    text,
    unary_stream,
)
from tests.support.waiting import patience, until
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.rpc.policy_table import Work

LARGE = "x" * 40_000


async def test_a_stream_is_streamed(world: World, channel: grpc.aio.Channel) -> None:
    call = unary_stream(channel, STREAM)(raw("abc"), metadata=(*ALICE, ("x-request-id", "s-1")))
    assert dict(await call.initial_metadata())["x-request-id"] == "s-1"
    assert [text(message) async for message in call] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("metadata", "request_bytes", "reason"),
    [
        ((), raw("x"), "CALLER_UNAUTHENTICATED"),
        (NOBODY, raw("x"), "PERMISSION_MISSING"),
        (ALICE, b"\xff", "FIELD_INVALID"),
    ],
)
async def test_a_stream_is_refused_like_any_call(
    channel: grpc.aio.Channel, metadata: Any, request_bytes: bytes, reason: str
) -> None:
    call = unary_stream(channel, STREAM)(request_bytes, metadata=metadata)
    assert (await failure(call.read())).reason == reason


async def test_a_stream_may_fail_midway(world: World, channel: grpc.aio.Channel) -> None:
    async def messages(caller: Caller, request: StringValue) -> AsyncGenerator[Any, None]:
        yield raw("one")
        raise TokenServiceError(Reason.OVERLOADED, "too slow")

    world.messages = messages
    call = unary_stream(channel, STREAM)(raw("x"), metadata=ALICE)
    assert text(await call.read()) == "one"
    refused = await failure(call.read())
    assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")


async def test_a_stream_that_nobody_reads_any_more_is_closed(
    world: World, channel: grpc.aio.Channel
) -> None:
    closed = asyncio.Event()

    async def messages(caller: Caller, request: StringValue) -> AsyncGenerator[Any, None]:
        try:
            yield raw("one")
            await asyncio.Event().wait()
        finally:
            closed.set()

    world.messages = messages
    call = unary_stream(channel, STREAM)(raw("x"), metadata=ALICE)
    assert text(await call.read()) == "one"
    call.cancel()
    async with patience():
        await closed.wait()
        assert world.pipeline is not None
        while world.pipeline.shared.streams:
            await asyncio.sleep(0.001)
    assert world.pipeline.bounds[Work.STREAM].active == 0


async def test_a_dialogue_goes_both_ways(channel: grpc.aio.Channel) -> None:
    call = stream_stream(channel, DIALOGUE)()
    await call.write(raw("a"))
    assert text(await call.read()) == "A"
    await call.write(raw("b"))
    assert text(await call.read()) == "B"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF


async def test_nonsense_in_a_dialogue_gets_a_fixed_text(channel: grpc.aio.Channel) -> None:
    call = stream_stream(channel, DIALOGUE)()
    await call.write(b"\xff")
    refused = await failure(call.read())
    assert (refused.code, refused.message) == (
        StatusCode.INVALID_ARGUMENT,
        "the request could not be parsed",
    )


async def endless(caller: Caller, request: StringValue) -> AsyncGenerator[Any, None]:
    """More than any client takes without reading it."""
    while True:
        yield StringValue(value=LARGE)


async def read_on(call: Any) -> None:
    """Take what comes, for as long as it comes."""
    while text(await call.read()) == LARGE:
        pass


async def test_who_does_not_read_is_disconnected_and_holds_nobody_up(
    world: World, channel: grpc.aio.Channel
) -> None:
    pipeline = world.pipeline
    assert pipeline is not None
    pipeline.shared.patience = 0.3
    world.messages = endless
    idle = unary_stream(channel, STREAM)(raw("x"), metadata=ALICE)
    assert text(await idle.read()) == LARGE
    world.messages = None
    async with patience():
        while pipeline.shared.streams:
            other = unary_stream(channel, STREAM)(raw("abc"), metadata=ALICE)
            assert [text(message) async for message in other] == ["a", "b", "c"]
    # It counts for as long as there is something left to tell it.
    assert pipeline.bounds[Work.STREAM].active == 1
    refused = await failure(read_on(idle))
    assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    await until(lambda: not pipeline.bounds[Work.STREAM].active)


async def test_who_never_takes_its_status_counts_until_the_connection_ends(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = world.pipeline
    assert pipeline is not None
    pipeline.shared.patience = 0.2
    world.messages = endless
    async with connected(world) as channel, patience():
        idle = unary_stream(channel, STREAM)(raw("x"), metadata=ALICE)
        assert text(await idle.read()) == LARGE
        while pipeline.shared.streams:
            await asyncio.sleep(0.01)
        assert pipeline.bounds[Work.STREAM].active == 1
    await until(lambda: not pipeline.bounds[Work.STREAM].active)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_a_slow_reader_has_the_time_that_it_needs(
    world: World, channel: grpc.aio.Channel
) -> None:
    pipeline = world.pipeline
    assert pipeline is not None
    pipeline.shared.patience = 0.3
    world.messages = endless
    slow = unary_stream(channel, STREAM)(raw("x"), metadata=ALICE)
    for _ in range(8):
        await asyncio.sleep(0.1)
        assert text(await slow.read()) == LARGE
    slow.cancel()
