"""Who calls: known, unknown, allowed, anonymous, and by which name."""

from typing import Any

import grpc
import pytest
from grpc import StatusCode

from tests.rpc.echo import (
    ALICE,
    ECHO,
    HOT,
    NOBODY,
    OPEN,
    World,
    basic,
    client,
    connected,
    failure,
    raw,
    serving,
    text,
    unary_unary,
)
from token_service.domain.kinds import Permission

UNARY = pytest.mark.parametrize("method", [ECHO, HOT])


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


async def test_a_request_id_comes_back(world: World, channel: grpc.aio.Channel) -> None:
    call = unary_unary(channel, ECHO)(raw("x"), metadata=(*ALICE, ("x-request-id", "mine-1")))
    await call
    assert dict(await call.trailing_metadata())["x-request-id"] == "mine-1"
    assert world.callers[0].request_id == "mine-1"


async def test_a_hot_call_tells_its_request_id_only_when_it_fails(
    world: World, channel: grpc.aio.Channel
) -> None:
    metadata = (*ALICE, ("x-request-id", "mine-1"))
    for _ in range(2):  # as a stranger, and recognised
        call = unary_unary(channel, HOT)(raw("x"), metadata=metadata)
        await call
        assert "x-request-id" not in dict(await call.trailing_metadata())
    refused = await failure(unary_unary(channel, HOT)(b"\xff", metadata=metadata))
    assert refused.request_id == "mine-1"


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
