"""What is too large, too often, too much at once or too slow."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc import StatusCode
from structlog.testing import capture_logs

from tests.bench.blast import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS,
    frame,
    spelt_out,
)
from tests.rpc.echo import (
    ALICE,
    ECHO,
    HOT,
    NOBODY,
    POLICIES,
    STREAM,
    World,
    connected,
    failure,
    raw,
    serving,
    text,
    unary_stream,
    unary_unary,
)
from tests.support.waiting import patience, until
from token_service.domain import deadline
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.rpc.calls.pipeline import BOUNDS
from token_service.rpc.policy_table import Work

CANARY = "canary-5d1e"
UNARY = pytest.mark.parametrize("method", [ECHO, HOT])


@UNARY
async def test_bytes_that_are_no_request_get_a_fixed_text(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    refused = await failure(unary_unary(channel, method)(b"\xff\xff\xff", metadata=ALICE))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert refused.message == "the request could not be parsed"
    assert refused.fields == ()
    assert world.callers == []


async def test_text_that_is_not_utf8_is_no_request(channel: grpc.aio.Channel) -> None:
    refused = await failure(unary_unary(channel, ECHO)(b"\x0a\x02\xc3\x28", metadata=ALICE))
    assert refused.message == "the request could not be parsed"


@UNARY
async def test_a_request_has_its_methods_limit(channel: grpc.aio.Channel, method: str) -> None:
    call = unary_unary(channel, method)
    fits = raw("x" * (1024 - 3))
    assert len(fits) == 1024
    assert await call(fits, metadata=ALICE) == fits
    refused = await failure(call(raw("x" * 1022), metadata=ALICE))
    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert refused.message == "the request is larger than 1024 bytes"


async def test_a_huge_request_ends_at_the_library(channel: grpc.aio.Channel) -> None:
    refused = await failure(unary_unary(channel, ECHO)(b"x" * 5_000_000, metadata=ALICE))
    assert refused.code is StatusCode.RESOURCE_EXHAUSTED


async def test_huge_metadata_ends_at_the_library(world: World, channel: grpc.aio.Channel) -> None:
    metadata = (*ALICE, ("x-padding", "x" * 20_000))
    refused = await failure(unary_unary(channel, ECHO)(raw("x"), metadata=metadata))
    assert refused.code is StatusCode.RESOURCE_EXHAUSTED
    assert world.callers == []


@UNARY
async def test_a_timeout_inside_is_the_deadline(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    async def give_up(caller: Caller, request: StringValue) -> None:
        raise TimeoutError(CANARY)

    world.answer = give_up
    refused = await failure(unary_unary(channel, method)(raw("x"), metadata=ALICE))
    assert (refused.code, refused.reason) == (StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    assert CANARY not in refused.message


@UNARY
@pytest.mark.parametrize(("given", "most"), [(3.0, 3.0), (None, 10.0), (60.0, 10.0)])
async def test_the_deadline_reaches_what_works_for_the_call(
    world: World, channel: grpc.aio.Channel, method: str, given: float | None, most: float
) -> None:
    left: list[float] = []

    def measure(caller: Caller, request: StringValue) -> StringValue:
        left.append(deadline.remaining(1_000.0))
        return request

    world.answer = measure
    await unary_unary(channel, method)(raw("x"), metadata=ALICE, timeout=given)
    # On the wire a timeout has three digits and is rounded up.
    assert most - 2.0 < left[0] <= most * 1.01


async def test_a_call_that_takes_too_long_is_cut_off() -> None:
    short = {**POLICIES, ECHO: POLICIES[ECHO].__class__(default_deadline=0.05)}
    world = World()

    async def wait(caller: Caller, request: StringValue) -> None:
        await asyncio.Event().wait()

    world.answer = wait
    async with serving(world, policies=short), connected(world) as channel:
        refused = await failure(unary_unary(channel, ECHO)(raw("x"), metadata=ALICE))
    assert (refused.code, refused.reason) == (StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


@UNARY
async def test_a_call_ends_at_its_clients_deadline(world: World, method: str) -> None:
    """At the server, whatever the client does: this one tells its deadline and then sits still."""
    ended = asyncio.Event()

    async def wait(caller: Caller, request: StringValue) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    world.answer = wait
    async with patient_call(world.address, method, grpc_timeout=b"50m"), patience():
        await ended.wait()


@asynccontextmanager
async def patient_call(address: str, method: str, *, grpc_timeout: bytes) -> AsyncIterator[None]:
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    headers = spelt_out(
        [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", method.encode()),
            (b":authority", b"localhost"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"grpc-timeout", grpc_timeout),
            (b"authorization", ALICE[0][1].encode()),
        ]
    )
    message = raw("x")
    body = b"\0" + len(message).to_bytes(4, "big") + message
    writer.write(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0))
    writer.write(frame(HEADERS, END_HEADERS, 1, headers) + frame(DATA, END_STREAM, 1, body))
    try:
        yield
    finally:
        writer.close()


@UNARY
async def test_each_caller_has_a_rate(method: str) -> None:
    limited = {**POLICIES, method: POLICIES[method].__class__(rate=type(POLICIES[ECHO].rate)(2, 3))}
    async with serving(policies=limited) as world, connected(world) as channel:
        call = unary_unary(channel, method)
        for _ in range(3):
            await call(raw("x"), metadata=ALICE)
        with capture_logs() as lines:
            refused = await failure(call(raw("x"), metadata=ALICE))
        assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert refused.retry_after == 0.5
        assert [line["caller"] for line in lines] == ["alice"]
        assert text(await call(raw("another"), metadata=NOBODY)) == "another"
        world.now += 0.5
        await call(raw("x"), metadata=ALICE)
        assert (await failure(call(raw("x"), metadata=ALICE))).reason == "RATE_LIMITED"


@UNARY
async def test_work_in_flight_is_bounded(method: str) -> None:
    world = World()
    go_on = asyncio.Event()

    async def wait(caller: Caller, request: StringValue) -> StringValue:
        await go_on.wait()
        return request

    world.answer = wait
    bounds = {**BOUNDS, Work.UNARY: 2}
    async with serving(world, bounds=bounds) as world, connected(world) as channel:
        call = unary_unary(channel, method)
        busy = [asyncio.ensure_future(call(raw("x"), metadata=ALICE)) for _ in range(2)]
        while len(world.callers) < 2:
            await asyncio.sleep(0.001)
        refused = await failure(call(raw("x"), metadata=ALICE))
        assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert refused.retry_after == 0.2
        stream = unary_stream(channel, STREAM)(raw("ab"), metadata=ALICE)
        assert [text(message) async for message in stream] == ["a", "b"]
        go_on.set()
        await asyncio.gather(*busy)
        await call(raw("x"), metadata=ALICE)


async def test_who_is_refused_at_the_login_is_told_to_stay_away_for_longer() -> None:
    bounds = {**BOUNDS, Work.PASSWORD: 0}
    policies = {**POLICIES, ECHO: replace(POLICIES[ECHO], work=Work.PASSWORD)}
    serve = serving(policies=policies, bounds=bounds)
    async with serve as world, connected(world) as channel:
        call = unary_unary(channel, ECHO)
        refusals = [await failure(call(raw("x"), metadata=ALICE)) for _ in range(5)]
    assert {refused.reason for refused in refusals} == {"OVERLOADED"}
    pauses = [refused.retry_after or 0.0 for refused in refusals]
    assert all(1 <= pause < 3 for pause in pauses)
    assert len(set(pauses)) == 5


async def test_who_only_watches_has_no_health_check_fail() -> None:
    bounds = {**BOUNDS, Work.PROBE_STREAM: 2}
    async with serving(bounds=bounds) as world, connected(world) as channel:
        watching = [unary_stream(channel, "/grpc.health.v1.Health/Watch")(b"") for _ in range(2)]
        for watch in watching:
            assert await watch.read()
        one_more = unary_stream(channel, "/grpc.health.v1.Health/Watch")(b"")
        assert (await failure(one_more.read())).code is StatusCode.UNIMPLEMENTED
        assert await unary_unary(channel, "/grpc.health.v1.Health/Check")(b"")


@UNARY
async def test_a_crowd_that_is_refused_fills_no_log(method: str) -> None:
    bounds = dict.fromkeys(BOUNDS, 0)
    async with serving(bounds=bounds) as world, connected(world) as channel:
        call = unary_unary(channel, method)
        with capture_logs() as lines:
            began = time.monotonic()
            for _ in range(50):
                assert (await failure(call(raw("x"), metadata=ALICE))).reason == "OVERLOADED"
            await until(lambda: sum(line.get("calls", 1) for line in lines) >= 50)
            seconds = time.monotonic() - began
    # Servers of the tests before may still have had something to tell.
    first, *others = (line for line in lines if line["reason"] == "OVERLOADED")
    assert (first["event"], first["reason"], first["method"]) == ("call", "OVERLOADED", method)
    assert {line["event"] for line in others} <= {"call", "calls_refused"}
    assert 1 + len(others) <= 2 * (seconds + 1)


async def test_who_is_refused_later_is_logged_each_time(
    world: World, channel: grpc.aio.Channel
) -> None:
    def refuse(caller: Caller, request: StringValue) -> None:
        raise TokenServiceError(Reason.OVERLOADED, "it keeps changing")

    world.answer = refuse
    with capture_logs() as lines:
        for _ in range(3):
            await failure(unary_unary(channel, ECHO)(raw("x"), metadata=ALICE))
    assert [line["caller"] for line in lines] == ["alice"] * 3
