"""What one caller holds never keeps the others out."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.wrappers_pb2 import StringValue
from grpc import StatusCode
from grpc_health.v1.health_pb2 import HealthCheckResponse  # type: ignore[import-untyped]

from tests.rpc.echo import (
    ALICE,
    DIALOGUE,
    ECHO,
    HOT,
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
    unary_stream,
    unary_unary,
)
from tests.support.elsewhere import seen_from
from tests.support.waiting import PATIENCE, until
from token_service.domain.clients.caller import Caller
from token_service.domain.kinds import Permission
from token_service.rpc.calls.pipeline import BOUNDS
from token_service.rpc.policy_table import Rate, Work

BOB = (("authorization", basic("bob")),)
WATCH = "/grpc.health.v1.Health/Watch"
PLACES = 20
MOST = PLACES * 3 // 4


@pytest.fixture
def world() -> World:
    """Two clients of equal rights; their calls and streams go on until told."""
    world = World()
    world.clients.by_authorization[basic("bob")] = client("bob", Permission.TOKENS_ISSUE)
    return world


def held_open(world: World) -> asyncio.Event:
    """Calls wait for the event; streams say one word and wait for it."""
    go_on = asyncio.Event()

    async def wait(caller: Caller, request: StringValue) -> StringValue:
        await go_on.wait()
        return request

    async def messages(caller: Caller, request: StringValue) -> AsyncGenerator[Any, None]:
        yield raw("watching")
        await go_on.wait()

    world.answer, world.messages = wait, messages
    return go_on


async def until_called(world: World, calls: int) -> None:
    await until(lambda: len(world.callers) >= calls)


@pytest.mark.parametrize("work", [Work.STREAM, Work.PAIRING])
async def test_a_client_that_watches_all_day_leaves_places_for_others(
    world: World, work: Work
) -> None:
    held_open(world)
    policies = {**POLICIES, STREAM: replace(POLICIES[STREAM], work=work)}
    serve = serving(world, policies=policies, bounds={**BOUNDS, work: PLACES})
    async with serve, connected(world) as channel:
        streams = []
        for _ in range(MOST):
            streams.append(unary_stream(channel, STREAM)(raw("x"), metadata=ALICE))
            assert text(await streams[-1].read()) == "watching"
        one_more = await failure(unary_stream(channel, STREAM)(raw("x"), metadata=ALICE).read())
        assert (one_more.code, one_more.reason) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
        assert one_more.retry_after == 0.2
        for _ in range(3):
            streams.append(unary_stream(channel, STREAM)(raw("x"), metadata=BOB))
            assert text(await streams[-1].read()) == "watching"
        for stream in streams:
            stream.cancel()


@pytest.mark.parametrize("method", [ECHO, HOT])
@pytest.mark.parametrize("work", [Work.UNARY, Work.PASSWORD])
async def test_a_clients_calls_in_flight_leave_places_for_others(
    world: World, method: str, work: Work
) -> None:
    policies = {**POLICIES, method: replace(POLICIES[method], work=work)}
    serve = serving(world, policies=policies, bounds={**BOUNDS, work: PLACES})
    async with serve, connected(world) as channel:
        call = unary_unary(channel, method)
        for known in (ALICE, BOB):
            await call(raw("x"), metadata=known)
        go_on = held_open(world)
        busy = [asyncio.ensure_future(call(raw("x"), metadata=ALICE)) for _ in range(MOST)]
        await until_called(world, MOST + 2)
        assert (await failure(call(raw("x"), metadata=ALICE))).reason == "OVERLOADED"
        busy.append(asyncio.ensure_future(call(raw("x"), metadata=BOB)))
        await until_called(world, MOST + 3)
        go_on.set()
        await asyncio.gather(*busy)
        await call(raw("x"), metadata=ALICE)


async def test_who_is_still_being_recognised_leaves_places_for_other_addresses(
    world: World,
) -> None:
    """Whoever makes recognising slow (a store that does not answer) holds no more than that."""
    slow = asyncio.Event()
    recognise = world.clients.__class__.__call__

    class Slow(type(world.clients)):  # type: ignore[misc]
        async def __call__(self, stranger: Caller, authorization: str, **by: str) -> Any:
            if authorization == basic("mallory"):
                await slow.wait()
            return await recognise(self, stranger, authorization, **by)

    world.clients = Slow(world.clients.by_authorization)
    async with (
        serving(world, bounds={**BOUNDS, Work.UNARY: PLACES}),
        seen_from("127.0.0.2", world.address) as elsewhere,
        grpc.aio.insecure_channel(elsewhere) as theirs,
        connected(world) as channel,
    ):
        wrong = (("authorization", basic("mallory")),)
        calls = [
            asyncio.ensure_future(failure(unary_unary(theirs, ECHO)(raw("x"), metadata=wrong)))
            for _ in range(PLACES)
        ]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert {call.result().reason for call in done} == {"OVERLOADED"}
        assert text(await unary_unary(channel, ECHO)(raw("x"), metadata=ALICE)) == "x"
        slow.set()
        await asyncio.gather(*calls)


@asynccontextmanager
async def health_checked(address: str, service: str = "") -> AsyncIterator[grpc.aio.Channel]:
    """A channel that uses a server only while a watch of its health says SERVING."""
    config = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": service},
    }
    options = [
        ("grpc.service_config", json.dumps(config)),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
    ]
    async with grpc.aio.insecure_channel(address, options) as channel:
        yield channel


async def watching(channel: grpc.aio.Channel, count: int) -> list[Any]:
    watches = [unary_stream(channel, WATCH)(b"") for _ in range(count)]
    for watch in watches:
        assert HealthCheckResponse.FromString(await watch.read()).status
    return watches


async def test_health_watched_by_a_crowd_takes_no_channel_away(world: World) -> None:
    """The flood fills its address's share, the whole class, and the rate of the address."""
    crowded = {**POLICIES, WATCH: replace(POLICIES[WATCH], anonymous_rate=Rate(0.001, MOST + 2))}
    serve = serving(world, policies=crowded, bounds={**BOUNDS, Work.PROBE_STREAM: PLACES})
    async with serve, connected(world) as flood:
        watches = await watching(flood, MOST)
        for _ in range(4):  # two for the share of the address, two for its rate
            refused = await failure(unary_stream(flood, WATCH)(b"").read())
            assert refused.code is StatusCode.UNIMPLEMENTED
        async with health_checked(world.address) as honest:
            call = unary_unary(honest, ECHO)(raw("x"), metadata=ALICE, timeout=PATIENCE)
            assert text(await call) == "x"
        assert all(not watch.done() for watch in watches)
        for watch in watches:
            watch.cancel()


async def test_a_crowd_at_one_address_leaves_health_to_be_watched_from_others(
    world: World,
) -> None:
    async with (
        serving(world, bounds={**BOUNDS, Work.PROBE_STREAM: PLACES}),
        seen_from("127.0.0.2", world.address) as elsewhere,
        grpc.aio.insecure_channel(elsewhere) as flood,
        connected(world) as channel,
    ):
        watches = await watching(flood, MOST)
        assert (await failure(unary_stream(flood, WATCH)(b"").read())).code is (
            StatusCode.UNIMPLEMENTED
        )
        watches += await watching(channel, 2)
        for watch in watches:
            watch.cancel()


async def test_only_health_is_dispensable(world: World) -> None:
    """Who watches something else must come back, so it is told when."""
    async with serving(world, bounds={**BOUNDS, Work.PROBE_STREAM: 0}), connected(world) as channel:
        refused = await failure(stream_stream(channel, DIALOGUE)(iter([raw("x")])).read())
    assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
