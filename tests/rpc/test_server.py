"""Health, addresses and the graceful stop of the real server."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc import StatusCode
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped]

from tests.rpc.echo import (
    ALICE,
    ECHO,
    ECHO_SERVICE,
    HOT,
    STREAM,
    Clients,
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
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.rpc.health import SERVICE
from token_service.rpc.server import BindError

CHECK = "/grpc.health.v1.Health/Check"
LIST = "/grpc.health.v1.Health/List"
WATCH = "/grpc.health.v1.Health/Watch"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health_of(service: str) -> bytes:
    data: bytes = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    return data


def status(data: bytes) -> int:
    return int(health_pb2.HealthCheckResponse.FromString(data).status)


async def until_told(messages: Any, wanted: int) -> None:
    async with patience():
        while status(await messages.read()) != wanted:
            pass


@pytest.mark.parametrize("service", ["", SERVICE.full_name, ECHO_SERVICE])
async def test_health_is_told_by_service_and_to_anybody(service: str) -> None:
    async with serving() as world, connected(world) as channel:
        assert status(await unary_unary(channel, CHECK)(health_of(service))) == SERVING
        watch = unary_stream(channel, WATCH)(health_of(service))
        assert status(await watch.read()) == SERVING
        assert world.server is not None
        world.server.health.tell(serving=False)
        await until_told(watch, NOT_SERVING)
        assert status(await unary_unary(channel, CHECK)(health_of(service))) == NOT_SERVING


async def test_all_services_are_listed() -> None:
    async with serving() as world, connected(world) as channel:
        listed = health_pb2.HealthListResponse.FromString(await unary_unary(channel, LIST)(b""))
    assert {name: one.status for name, one in listed.statuses.items()} == {
        "": SERVING,
        SERVICE.full_name: SERVING,
        ECHO_SERVICE: SERVING,
    }


async def test_services_that_cannot_answer_say_so_by_name_and_the_server_still_serves() -> None:
    """Who probes the whole server starts it anew, which helps nobody while a database is away."""
    async with serving() as world, connected(world) as channel:
        assert world.server is not None
        named, whole = (
            unary_stream(channel, WATCH)(health_of(service)) for service in (ECHO_SERVICE, "")
        )
        assert [status(await watch.read()) for watch in (named, whole)] == [SERVING, SERVING]
        for fresh, told in ((False, NOT_SERVING), (True, SERVING)):
            world.fresh = fresh
            assert await checked(channel) == {"": SERVING, SERVICE.full_name: SERVING} | {
                ECHO_SERVICE: told
            }
            world.server.health.look()
            assert status(await named.read()) == told
        world.server.health.tell(serving=False)
        assert status(await named.read()) == NOT_SERVING
        # The first thing that the watcher of the whole server hears since the beginning.
        assert status(await whole.read()) == NOT_SERVING
        assert set((await checked(channel)).values()) == {NOT_SERVING}


async def checked(channel: grpc.aio.Channel) -> dict[str, int]:
    """What Check says of each service, which List agrees with."""
    listed = health_pb2.HealthListResponse.FromString(await unary_unary(channel, LIST)(b""))
    found = {
        service: status(await unary_unary(channel, CHECK)(health_of(service)))
        for service in listed.statuses
    }
    assert found == {name: one.status for name, one in listed.statuses.items()}
    return found


async def test_an_unknown_service_is_not_found_but_may_be_watched() -> None:
    async with serving() as world, connected(world) as channel:
        refused = await failure(unary_unary(channel, CHECK)(health_of("nothing")))
        assert refused.code is StatusCode.NOT_FOUND
        watch = unary_stream(channel, WATCH)(health_of("nothing"))
        unknown = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        assert status(await watch.read()) == unknown


async def test_a_taken_address_is_an_error() -> None:
    async with serving() as world:
        with pytest.raises(BindError, match=r"cannot listen on 127\.0\.0\.1:"):
            async with serving(listen=world.address):
                raise AssertionError("two servers share a port")


async def test_workers_share_a_port_when_they_mean_to() -> None:
    async with (
        serving(reuse_port=True) as world,
        serving(reuse_port=True, listen=world.address) as other,
    ):
        assert other.address == world.address


async def test_a_socket_of_this_machine(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/s"
    async with serving(listen=listen) as world, connected(world) as channel:
        assert world.address == listen
        await unary_unary(channel, ECHO)(raw("x"), metadata=ALICE)
        assert world.callers[0].address == ""


class Slow:
    """A handler that waits until it is told to go on."""

    def __init__(self, world: World) -> None:
        self.go_on = asyncio.Event()
        self.world = world
        world.answer = lambda _, request: self.answer(request)

    async def answer(self, request: StringValue) -> StringValue:
        await self.go_on.wait()
        return request

    async def started(self, number: int) -> None:
        await until(lambda: len(self.world.callers) >= number)


@pytest.mark.parametrize("method", [ECHO, HOT])
async def test_a_stop_lets_calls_in_flight_finish_and_refuses_new_ones(method: str) -> None:
    world = World()
    slow = Slow(world)
    async with serving(world, drain_delay=0.3) as world, connected(world) as channel:
        call = unary_unary(channel, method)
        in_flight = call(raw("in flight"), metadata=ALICE)
        await slow.started(1)
        watch = unary_stream(channel, WATCH)(health_of(""))
        assert status(await watch.read()) == SERVING
        assert world.server is not None
        stopping = asyncio.create_task(world.server.stop())
        await until_told(watch, NOT_SERVING)
        refused = await failure(call(raw("new"), metadata=ALICE))
        assert (refused.code, refused.reason) == (StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert status(await unary_unary(channel, CHECK)(health_of(""))) == NOT_SERVING
        assert (await failure(watch.read())).reason == "SHUTTING_DOWN"
        assert not stopping.done()
        slow.go_on.set()
        assert text(await in_flight) == "in flight"
        async with patience():
            await stopping
        assert (await failure(call(raw("late"), metadata=ALICE))).code is StatusCode.UNAVAILABLE
        assert len(world.callers) == 1


async def test_a_stop_ends_what_outlasts_the_grace_period() -> None:
    world = World()
    slow = Slow(world)
    async with serving(world, grace_period=0.2) as world, connected(world) as channel:
        in_flight = unary_unary(channel, ECHO)(raw("x"), metadata=ALICE)
        await slow.started(1)
        assert world.server is not None
        began = time.monotonic()
        await world.server.stop()
        assert time.monotonic() - began >= 0.2
        assert (await failure(in_flight)).code in {StatusCode.UNAVAILABLE, StatusCode.CANCELLED}


async def endless(caller: Caller, request: StringValue) -> AsyncGenerator[Any, None]:
    yield raw("first")
    await asyncio.Event().wait()


async def flood(caller: Caller, request: StringValue) -> AsyncGenerator[Any, None]:
    message = raw("x" * 60_000)
    while True:
        yield message


async def test_a_stop_ends_streams_at_once() -> None:
    world = World(messages=endless)
    async with serving(world, grace_period=30.0) as world, connected(world) as channel:
        calls = [unary_stream(channel, STREAM)(raw("x"), metadata=ALICE) for _ in range(20)]
        for call in calls:
            assert text(await call.read()) == "first"
        assert world.server is not None
        async with patience():
            await world.server.stop()
        for call in calls:
            refused = await failure(call.read())
            assert (refused.code, refused.reason) == (StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
        assert world.pipeline is not None
        assert not world.pipeline.shared.streams


async def test_a_stop_in_the_middle_of_writing_harms_nothing() -> None:
    """The readers take nothing, so the server waits in a write when it is told to stop."""
    world = World(messages=flood)
    async with serving(world, grace_period=0.5) as world, connected(world) as channel:
        calls = [unary_stream(channel, STREAM)(raw("x"), metadata=ALICE) for _ in range(10)]
        for call in calls:
            assert await call.read()
        await asyncio.sleep(0.1)  # until flow control holds the writers
        assert world.server is not None
        async with patience():
            await world.server.stop()
        assert world.pipeline is not None
        assert not world.pipeline.shared.streams


async def test_a_reader_who_comes_back_still_learns_why_it_ended() -> None:
    world = World(messages=flood)
    async with serving(world, grace_period=30.0) as world, connected(world) as channel:
        call = unary_stream(channel, STREAM)(raw("x"), metadata=ALICE)
        assert await call.read()
        await asyncio.sleep(0.1)  # until flow control holds the writer
        assert world.server is not None
        stopping = asyncio.create_task(world.server.stop())

        async def read_on() -> AsyncIterator[bytes]:
            while True:
                yield await call.read()

        async with patience():
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                _ = [message async for message in read_on()]
            await stopping
        assert caught.value.code() is StatusCode.UNAVAILABLE
        assert caught.value.details() == "the server is shutting down"


async def test_a_stream_that_is_only_beginning_ends_as_well() -> None:
    world = World(messages=endless)
    asked, go_on = asyncio.Event(), asyncio.Event()
    authenticate = world.clients

    class Slowly(Clients):
        async def __call__(self, stranger: Caller, authorization: str, **by: str) -> Client:
            asked.set()
            await go_on.wait()
            return await authenticate(stranger, authorization, **by)

    world.clients = Slowly()
    async with serving(world, grace_period=30.0) as world, connected(world) as channel:
        call = unary_stream(channel, STREAM)(raw("x"), metadata=ALICE)
        reading = asyncio.ensure_future(failure(call.read()))
        async with patience():
            await asked.wait()
            assert world.server is not None
            stopping = asyncio.create_task(world.server.stop())
            await asyncio.sleep(0)
            go_on.set()
            refused = await reading
            await stopping
        assert (refused.code, refused.reason) == (StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
