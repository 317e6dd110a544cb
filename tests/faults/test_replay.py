"""Lost replies: the same request again gets the same successor, and nothing else does."""

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from tests.support.api import Api, exchange_id
from tests.support.fixtures import LocalServer, StartApplication, StartServer
from tests.support.outcomes import credential_of, outcome
from tests.support.waiting import PATIENCE
from tests.support.world import World
from tokenservice.v1 import key_service_pb2 as keys
from tokenservice.v1 import types_pb2 as types


async def login(world: World, api: Api) -> str:
    """A fresh session's token."""
    return credential_of(await api.login(world.username, world.password, audiences=["orders"]))


@pytest.mark.parametrize("client", ["demo-web", "demo-rolling"])
async def test_after_a_crash_between_commit_and_reply(
    world: World, start_server: StartServer, client: str
) -> None:
    doomed = start_server(module="tests.faults.cut_off")
    once = exchange_id()
    async with world.api(doomed.address, client) as api:
        token = await login(world, api)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await api.exchange(token, once)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert doomed.process.wait(PATIENCE) != 0
    survivor = start_server()
    async with world.api(survivor.address, client) as api:
        replayed = await api.exchange(token, once)
        assert replayed.replayed
        again = await api.exchange(token, once)
        assert credential_of(again.tokens) == credential_of(replayed.tokens)
        following = await api.exchange(credential_of(replayed.tokens), exchange_id())
        assert not following.replayed


async def test_after_the_caller_went_away_mid_call(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    async with world.api(server.address, "demo-web") as api:
        for milliseconds in (0, 1, 2, 4, 8):
            token, once = await login(world, api), exchange_id()
            call = asyncio.ensure_future(api.exchange(token, once))
            await asyncio.wait([call], timeout=milliseconds / 1000)
            call.cancel()
            await asyncio.wait([call])
            settled = await api.exchange(token, once)
            again = await api.exchange(token, once)
            assert again.tokens.session_token == settled.tokens.session_token
            assert again.replayed


async def test_after_a_restart(world: World, start_server: StartServer) -> None:
    first = start_server()
    once = exchange_id()
    async with world.api(first.address, "demo-web") as api:
        token = await login(world, api)
        successor = (await api.exchange(token, once)).tokens.session_token
    assert first.terminate() == 0
    second = start_server()
    async with world.api(second.address, "demo-web") as api:
        assert (await api.exchange(token, once)).tokens.session_token == successor


async def rotate_mint_key(world: World, server: LocalServer) -> None:
    """Rotate, and let time pass until the new key makes tokens."""
    parts = server.application.parts
    before = parts.mint.active().kid
    async with world.api(server.address, "demo-admin") as admin:
        await admin.keys.RotateKey(
            keys.RotateKeyRequest(purpose=types.KEY_PURPOSE_MINT), metadata=admin.metadata
        )
    server.clock.advance(timedelta(minutes=3))
    await parts.key_maintenance.tick()
    await parts.follower.refresh()
    assert parts.mint.active().kid != before


async def test_after_a_mint_key_rotation(world: World, start_application: StartApplication) -> None:
    server = await start_application()
    async with world.api(server.address, "demo-web") as api:
        token, once = await login(world, api), exchange_id()
        successor = (await api.exchange(token, once)).tokens.session_token
        await rotate_mint_key(world, server)
        replayed = await api.exchange(token, once)
        assert replayed.tokens.session_token == successor
        following = await api.exchange(successor, exchange_id())
        assert following.tokens.session_token != successor
        await api.exchange(following.tokens.session_token, exchange_id())


async def test_not_after_the_successor_was_exchanged(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    async with world.api(server.address, "demo-web") as api:
        token, once = await login(world, api), exchange_id()
        successor = (await api.exchange(token, once)).tokens.session_token
        await api.exchange(successor, exchange_id())
        assert await outcome(api.exchange(token, once)) == "TOKEN_REUSED"
        assert await outcome(api.exchange(successor)) == "TOKEN_REVOKED"


async def test_not_after_the_window(world: World, start_application: StartApplication) -> None:
    server = await start_application()
    async with world.api(server.address, "demo-web") as api:
        token, once = await login(world, api), exchange_id()
        await api.exchange(token, once)
        server.clock.advance(timedelta(minutes=9))
        assert (await api.exchange(token, once)).replayed
        server.clock.advance(timedelta(minutes=1, seconds=1))
        assert await outcome(api.exchange(token, once)) == "TOKEN_REUSED"


@pytest.mark.parametrize("change", [{"exchange_id": b""}, {"exchange_id": bytes(16)}])
async def test_not_with_another_id(
    world: World, start_application: StartApplication, change: dict[str, Any]
) -> None:
    server = await start_application()
    async with world.api(server.address, "demo-web") as api:
        tokens = await api.login(world.username, world.password, audiences=["orders", "billing"])
        successor = await api.exchange(tokens.session_token, exchange_id())
        assert await outcome(api.exchange(tokens.session_token, **change)) == "TOKEN_REUSED"
        assert await outcome(api.exchange(successor.tokens.session_token)) == "TOKEN_REVOKED"


@pytest.mark.parametrize("client", ["demo-web", "demo-opaque"])
async def test_with_other_audiences_and_scopes(
    world: World, start_application: StartApplication, client: str
) -> None:
    """Two tabs of one browser: each gets what it asks for, both the same successor."""
    server = await start_application()
    async with (
        world.api(server.address, client) as api,
        world.api(server.address, "demo-gateway") as gateway,
    ):
        tokens = await api.login(world.username, world.password, audiences=["orders", "billing"])
        once, successor = exchange_id(), ""
        for number, (audience, scope) in enumerate(
            [("orders", "orders.read"), ("billing", "billing.read"), ("orders", "orders.write")]
        ):
            got = await api.exchange(
                tokens.session_token, once, audiences=[audience], scopes=[scope]
            )
            assert got.replayed is (number > 0)
            (access,) = got.tokens.access_tokens
            assert (access.audience, list(access.scopes)) == (audience, [scope])
            assert await gateway.verdict(access.token, audience, required_scopes=[scope]) == (
                "ACTIVE"
            )
            successor = got.tokens.session_token
            assert (
                successor == (await api.exchange(tokens.session_token, once)).tokens.session_token
            )
        wider = api.exchange(tokens.session_token, once, audiences=["stock"])
        assert await outcome(wider) == "AUDIENCE_NOT_ALLOWED"
        assert not (await api.exchange(successor, exchange_id())).replayed


async def test_not_after_the_callers_own_window(
    world: World, start_application: StartApplication
) -> None:
    """A gateway that derives its ids from the token tells a thief from a second tab by the time
    that went by, however long the policy's window is."""
    server = await start_application()
    minute = Duration(seconds=60)
    async with world.api(server.address, "demo-web") as api:
        token, once = await login(world, api), exchange_id()
        successor = (await api.exchange(token, once, replay_within=minute)).tokens.session_token
        server.clock.advance(timedelta(seconds=59))
        sibling = await api.exchange(token, once, replay_within=minute)
        assert sibling.tokens.session_token == successor
        server.clock.advance(timedelta(seconds=2))
        thief = await outcome(api.exchange(token, once, replay_within=minute))
        assert thief == "TOKEN_REUSED"
        assert await outcome(api.exchange(successor, exchange_id())) == "TOKEN_REVOKED"


async def test_a_refused_widening_consumes_nothing(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    async with world.api(server.address, "demo-web") as api:
        tokens = await api.login(
            world.username, world.password, audiences=["orders"], scopes=["orders.read"]
        )
        token = tokens.session_token
        assert await outcome(api.exchange(token, scopes=["orders.write"])) == "SCOPE_WIDENED"
        assert await outcome(api.exchange(token, audiences=["billing"])) == ("AUDIENCE_NOT_ALLOWED")
        async with world.api(server.address, "demo-mobile") as other:
            assert await outcome(other.exchange(token)) == "CLIENT_MISMATCH"
        assert not (await api.exchange(token)).replayed
