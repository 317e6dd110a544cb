"""Calls through the pipeline, good and bad, on a real server."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc import StatusCode
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.rpc.echo import (
    ALICE,
    DIALOGUE,
    ECHO,
    HOT,
    NOBODY,
    OPEN,
    POLICIES,
    STREAM,
    World,
    basic,
    client,
    connected,
    failure,
    raw,
    serving,
    stream_stream,
    text,
    told,
    unary_stream,
    unary_unary,
)
from token_service.domain import deadline
from token_service.domain.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError, invalid_field
from token_service.domain.kinds import Permission
from token_service.rpc.methods import Method, Shape
from token_service.rpc.pipeline import BOUNDS
from token_service.rpc.policy import Work

CANARY = "canary-5d1e"
UNARY = pytest.mark.parametrize("method", [ECHO, HOT])


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:
        yield world


@pytest.fixture
async def channel(world: World) -> AsyncIterator[grpc.aio.Channel]:
    async with connected(world) as channel:
        yield channel


@UNARY
async def test_a_good_call_is_answered(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    for _ in range(3):
        assert text(await unary_unary(channel, method)(raw("hello"), metadata=ALICE)) == "hello"
    assert {caller.client_id for caller in world.callers} == {"alice"}
    assert world.clients.asked == [basic("alice")] * (1 if method == HOT else 3)


@UNARY
async def test_a_reply_may_be_serialised_already(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    world.answer = lambda _, __: raw("ready")
    assert text(await unary_unary(channel, method)(raw("x"), metadata=ALICE)) == "ready"


@UNARY
@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (*ALICE, *ALICE),
        (*ALICE, ("authorization", basic("alice", "wrong"))),
        (("authorization", basic("alice", "wrong")),),
        (("authorization", ""),),
        (("authorization", "Basic"),),
        (("x-client-id", "alice"),),
    ],
)
async def test_one_text_for_every_caller_that_is_not_known(
    world: World, channel: grpc.aio.Channel, method: str, metadata: Any
) -> None:
    assert text(await unary_unary(channel, method)(raw("warm"), metadata=ALICE)) == "warm"
    refused = await failure(unary_unary(channel, method)(raw("x"), metadata=metadata))
    assert (refused.code, refused.reason) == (
        StatusCode.UNAUTHENTICATED,
        "CALLER_UNAUTHENTICATED",
    )
    assert refused.message == "the caller is not authenticated"
    assert len(world.callers) == 1


@UNARY
async def test_a_missing_permission_is_refused(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    for _ in range(2):  # as a stranger, and recognised
        refused = await failure(unary_unary(channel, method)(raw("x"), metadata=NOBODY))
        assert (refused.code, refused.reason) == (
            StatusCode.PERMISSION_DENIED,
            "PERMISSION_MISSING",
        )
    assert world.callers == []


async def test_a_changed_policy_counts_at_once(world: World, channel: grpc.aio.Channel) -> None:
    hot = unary_unary(channel, HOT)
    await hot(raw("x"), metadata=ALICE)
    await hot(raw("x"), metadata=ALICE)
    world.clients.seen[basic("alice")] = client("alice", Permission.TRUST_WATCH)
    assert (await failure(hot(raw("x"), metadata=ALICE))).reason == "PERMISSION_MISSING"
    world.clients.seen[basic("alice")] = client("alice", Permission.TOKENS_ISSUE)
    assert text(await hot(raw("x"), metadata=ALICE)) == "x"


@UNARY
async def test_a_remembered_caller_is_believed_only_while_trust_is_fresh(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    await unary_unary(channel, method)(raw("x"), metadata=ALICE)
    world.fresh = False
    refused = await failure(unary_unary(channel, method)(raw("x"), metadata=ALICE))
    assert (refused.code, refused.reason) == (StatusCode.UNAVAILABLE, "TRUST_STALE")
    assert refused.retry_after == 1.0


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


@pytest.mark.parametrize("method", ["/test.Echo/Nothing", "/other.Service/Echo", "/nonsense"])
async def test_an_unknown_method_is_named_as_such(channel: grpc.aio.Channel, method: str) -> None:
    for metadata in ((), ALICE):
        refused = await failure(unary_unary(channel, method)(raw("x"), metadata=metadata))
        assert (refused.code, refused.reason) == (StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")
        assert refused.request_id


async def test_a_method_without_a_row_cannot_be_offered(world: World) -> None:
    assert world.pipeline is not None
    with pytest.raises(LookupError, match=r"/test\.Echo/Unlisted has no row"):
        world.pipeline.add([Method("/test.Echo/Unlisted", Shape.UNARY, StringValue, world.unary)])


@UNARY
async def test_what_goes_wrong_inside_stays_inside(
    world: World,
    channel: grpc.aio.Channel,
    method: str,
) -> None:
    def fail(caller: Caller, request: StringValue) -> None:
        raise ZeroDivisionError(CANARY)

    world.answer = fail
    metadata = (*ALICE, ("x-request-id", "req-1"))
    with capture_logs() as lines:
        refused = await failure(unary_unary(channel, method)(raw("x"), metadata=metadata))
    assert (refused.code, refused.reason) == (StatusCode.INTERNAL, "INTERNAL")
    assert refused.message == "internal error"
    assert refused.request_id == "req-1"
    (line,) = lines
    assert (line["log_level"], line["request_id"], line["caller"]) == ("error", "req-1", "alice")
    assert isinstance(line["exc_info"], ZeroDivisionError)


@UNARY
async def test_calls_are_logged_and_hot_ones_only_when_they_fail(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    with capture_logs() as lines:
        await unary_unary(channel, method)(raw("x"), metadata=ALICE)
    assert [line["code"] for line in lines] == ([] if method == HOT else ["OK"])
    with capture_logs() as lines:
        await failure(unary_unary(channel, method)(raw("x"), metadata=NOBODY))
    (line,) = lines
    assert (line["method"], line["code"], line["reason"]) == (
        method,
        "PERMISSION_DENIED",
        "PERMISSION_MISSING",
    )


async def test_calls_are_counted(world: World, channel: grpc.aio.Channel) -> None:
    assert world.pipeline is not None
    registry = CollectorRegistry()
    registry.register(world.pipeline.collector())
    for method in (ECHO, HOT):
        await unary_unary(channel, method)(raw("x"), metadata=ALICE)
        await failure(unary_unary(channel, method)(raw("x")))
        labels = {"method": method, "code": "OK"}
        assert registry.get_sample_value("token_service_rpc_calls_total", labels) == 1
        labels["code"] = "UNAUTHENTICATED"
        assert registry.get_sample_value("token_service_rpc_calls_total", labels) == 1
        name = "token_service_rpc_seconds_bucket"
        assert registry.get_sample_value(name, {"method": method, "le": "+Inf"}) == 2
    labels = {"work": "unary"}
    assert registry.get_sample_value("token_service_rpc_active", labels) == 0


async def test_a_reply_of_the_wrong_type_is_our_fault(
    world: World, channel: grpc.aio.Channel
) -> None:
    world.answer = lambda _, __: CANARY
    refused = await failure(unary_unary(channel, ECHO)(raw("x"), metadata=ALICE))
    assert (refused.code, refused.message) == (StatusCode.INTERNAL, "internal error")


@UNARY
async def test_a_refusal_carries_its_details(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    def refuse(caller: Caller, request: StringValue) -> None:
        raise invalid_field("requests[3].audience", "must be given")

    world.answer = refuse
    refused = await failure(unary_unary(channel, method)(raw("x"), metadata=ALICE))
    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert refused.reason == "FIELD_INVALID"
    assert refused.fields == ("requests[3].audience",)
    assert refused.message == "must be given"


@UNARY
async def test_an_abort_of_the_library_passes_through(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    """A handler never aborts; if the library does under it, nothing may be sent twice."""

    async def abort(caller: Caller, request: StringValue) -> None:
        raise grpc.aio.AbortError

    world.answer = abort
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await unary_unary(channel, method)(raw("x"), metadata=ALICE, timeout=1)
    assert told(caught.value).reason == ""


@UNARY
async def test_a_client_that_goes_away_cancels_the_work(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def wait(caller: Caller, request: StringValue) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    world.answer = wait
    call = unary_unary(channel, method)(raw("x"), metadata=ALICE)
    async with asyncio.timeout(5):
        await started.wait()
        call.cancel()
        await cancelled.wait()
        assert world.pipeline is not None
        while world.pipeline.bounds[Work.UNARY].active:
            await asyncio.sleep(0.001)
    world.answer = lambda _, request: request
    assert text(await unary_unary(channel, method)(raw("next"), metadata=ALICE)) == "next"


@UNARY
async def test_a_cancellation_from_within_is_our_fault_and_gets_an_answer(
    world: World, channel: grpc.aio.Channel, method: str
) -> None:
    async def lose_a_part(caller: Caller, request: StringValue) -> None:
        part = asyncio.ensure_future(asyncio.Event().wait())
        part.cancel()
        await part

    world.answer = lose_a_part
    refused = await failure(unary_unary(channel, method)(raw("x"), metadata=ALICE, timeout=5))
    assert (refused.code, refused.reason) == (StatusCode.INTERNAL, "INTERNAL")


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
    assert most - 2.0 < left[0] <= most


async def test_a_call_that_takes_too_long_is_cut_off() -> None:
    short = {**POLICIES, ECHO: POLICIES[ECHO].__class__(default_deadline=0.05)}
    world = World()

    async def wait(caller: Caller, request: StringValue) -> None:
        await asyncio.Event().wait()

    world.answer = wait
    async with serving(world, policies=short), connected(world) as channel:
        refused = await failure(unary_unary(channel, ECHO)(raw("x"), metadata=ALICE))
    assert (refused.code, refused.reason) == (StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")


async def test_a_request_id_comes_back(world: World, channel: grpc.aio.Channel) -> None:
    call = unary_unary(channel, ECHO)(raw("x"), metadata=(*ALICE, ("x-request-id", "mine-1")))
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == "mine-1"
    assert world.callers[0].request_id == "mine-1"


@pytest.mark.parametrize("given", ["", "with blank", "x" * 65, "tsk_web_abc", 'quo"te'])
async def test_a_request_id_that_is_not_sane_is_replaced(
    world: World, channel: grpc.aio.Channel, given: str
) -> None:
    call = unary_unary(channel, ECHO)(raw("x"), metadata=(*ALICE, ("x-request-id", given)))
    await call
    returned = dict(await call.trailing_metadata())["x-request-id"]
    assert returned == world.callers[0].request_id
    assert returned
    assert returned != given


async def test_the_callers_address_is_known(world: World, channel: grpc.aio.Channel) -> None:
    await unary_unary(channel, ECHO)(raw("x"), metadata=ALICE)
    assert world.callers[0].address == "127.0.0.1"


@UNARY
async def test_each_caller_has_a_rate(method: str) -> None:
    limited = {**POLICIES, method: POLICIES[method].__class__(rate=type(POLICIES[ECHO].rate)(2, 3))}
    async with serving(policies=limited) as world, connected(world) as channel:
        call = unary_unary(channel, method)
        for _ in range(3):
            await call(raw("x"), metadata=ALICE)
        refused = await failure(call(raw("x"), metadata=ALICE))
        assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
        assert refused.retry_after == 0.5
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


async def test_anonymous_callers_are_let_in_only_where_open() -> None:
    async with serving() as world, connected(world) as channel:
        refused = await failure(unary_unary(channel, OPEN)(raw("x")))
        assert refused.reason == "CALLER_UNAUTHENTICATED"
    async with serving(open_registration=True) as world, connected(world) as channel:
        call = unary_unary(channel, OPEN)
        assert text(await call(raw("x"))) == "x"
        assert world.callers[0].client_id == ""
        assert world.callers[0].address == "127.0.0.1"
        assert (await failure(call(raw("x"), metadata=NOBODY))).reason == "PERMISSION_MISSING"
        wrong = (("authorization", basic("alice", "wrong")),)
        assert (await failure(call(raw("x"), metadata=wrong))).reason == "CALLER_UNAUTHENTICATED"
        for _ in range(2):
            await call(raw("x"))
        assert (await failure(call(raw("x")))).reason == "RATE_LIMITED"
        assert text(await call(raw("x"), metadata=ALICE)) == "x"


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
    async with asyncio.timeout(5):
        await closed.wait()
        assert world.pipeline is not None
        while world.pipeline.streams:
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
