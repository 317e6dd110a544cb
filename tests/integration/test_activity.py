"""Sliding expiry on real stores: a session in use stays, one that is not expires."""

from datetime import timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from tests.support.api import Api, reason_of
from tests.support.clocks import ShiftedClock
from tests.support.fixtures import LocalServer, StartApplication
from tests.support.policies import change_policy
from tests.support.world import World
from tokenservice.v1 import client_policy_pb2 as policies
from tokenservice.v1 import trust_service_pb2 as trust
from tokenservice.v1 import types_pb2 as types

IDLE = timedelta(minutes=1)
"""The shortest that a policy may say: as long as the default interval of writing."""


async def shorten_idle(admin: Api, client_id: str) -> None:
    own = policies.SessionLifetime(platform=types.PLATFORM_WEB)
    own.idle.FromTimedelta(IDLE)
    await change_policy(admin, client_id, session_lifetimes=[own])


async def pass_time(clock: ShiftedClock, seconds: int, *servers: LocalServer) -> None:
    """Each second, servers write what is due."""
    for _ in range(seconds):
        clock.advance(timedelta(seconds=1))
        for server in servers:
            await server.application.parts.activity.flush()


async def test_a_session_that_is_validated_now_and_then_does_not_expire(
    world: World, start_application: StartApplication
) -> None:
    clock = ShiftedClock()
    servers = [await start_application(clock) for _ in range(2)]
    address = servers[0].address
    async with (
        world.api(address, "demo-admin") as admin,
        world.api(address, "demo-web") as web,
        world.api(address, "demo-gateway") as one,
        world.api(servers[1].address, "demo-gateway") as other,
    ):
        await shorten_idle(admin, "demo-web")
        tokens = await web.login(world.username, world.password)
        for pauses in ([10, 12, 50], [55, 55, 1, 14], [30, 30, 30, 55]):
            for number, pause in enumerate(pauses):
                await pass_time(clock, pause, *servers)
                gateway = (one, other)[number % 2]
                assert await gateway.verdict(tokens.access_tokens[0].token) == "ACTIVE"
            await pass_time(clock, 55, *servers)
            tokens = (await web.exchange(tokens.session_token)).tokens
        clock.advance(IDLE + timedelta(seconds=1))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await web.exchange(tokens.session_token)
        assert reason_of(refused.value) == "TOKEN_EXPIRED"


async def test_validators_are_told_which_sessions_to_report_more_often(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    async with (
        world.api(server.address, "demo-admin") as admin,
        world.api(server.address, "demo-web") as web,
        world.api(server.address, "demo-mobile") as mobile,
        world.api(server.address, "demo-gateway") as gateway,
    ):
        await shorten_idle(admin, "demo-web")
        short = await web.login(world.username, world.password)
        long = await mobile.login(world.username, world.password, platform=types.PLATFORM_MOBILE)
        activities = [
            trust.SessionActivity(session_id=session.session_id) for session in (short, long)
        ]
        for one in activities:
            one.last_activity_at.GetCurrentTime()
        for asked, told in ((None, 15), (Duration(seconds=10), None), (Duration(seconds=16), 15)):
            # Also for a session that another one has reported just now.
            reply = await gateway.trust.ReportActivity(
                trust.ReportActivityRequest(activities=activities, interval=asked),
                metadata=gateway.metadata,
            )
            expected = {} if told is None else {short.session_id: told}
            assert {one.session_id: one.interval.seconds for one in reply.intervals} == expected
