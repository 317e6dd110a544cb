"""One call: answered, refused, failed, cancelled, logged and counted."""

import asyncio

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc import StatusCode
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from tests.rpc.echo import (
    ALICE,
    ECHO,
    HOT,
    NOBODY,
    World,
    basic,
    failure,
    raw,
    text,
    told,
    unary_unary,
)
from tests.support.waiting import PATIENCE, patience
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import invalid_field
from token_service.rpc.methods import Method, Shape
from token_service.rpc.metrics import RpcCollector
from token_service.rpc.policy_table import Work

CANARY = "canary-5d1e"
UNARY = pytest.mark.parametrize("method", [ECHO, HOT])


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
    registry.register(RpcCollector(world.pipeline.counts))
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
        await unary_unary(channel, method)(raw("x"), metadata=ALICE, timeout=PATIENCE)
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
    async with patience():
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
    refused = await failure(
        unary_unary(channel, method)(raw("x"), metadata=ALICE, timeout=PATIENCE)
    )
    assert (refused.code, refused.reason) == (StatusCode.INTERNAL, "INTERNAL")


@pytest.mark.parametrize("method", [ECHO, HOT])
async def test_who_lacks_a_permission_is_named_in_the_log(
    channel: grpc.aio.Channel, method: str
) -> None:
    with capture_logs() as lines:
        for _ in range(2):  # the second time it is recognised
            await failure(unary_unary(channel, method)(raw("x"), metadata=NOBODY))
    assert [(line["reason"], line["caller"]) for line in lines] == [
        ("PERMISSION_MISSING", "nobody")
    ] * 2
