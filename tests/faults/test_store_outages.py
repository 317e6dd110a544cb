"""Stores that stop, crash, forget and come back under a running server: I1 to I5 hold."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import grpc
import pytest
import pytest_asyncio
import redis
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from tests.faults.breakable import Breakable
from tests.support.api import exchange_id, reason_of
from tests.support.callers import Callers
from tests.support.clocks import ShiftedClock
from tests.support.outcomes import credential_of, outcome
from tests.support.waiting import patience, until
from tests.support.world import World
from token_service.app import Application
from token_service.app.parts import Parts
from tokenservice.v1 import types_pb2 as types

LONG = {"staleness_limit": 60, "key_publish_lead": 120}
"""Longer than the outage takes on the slowest machine."""

PAST_THE_LIMIT = timedelta(seconds=61)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNAVAILABLE = {"STORE_UNAVAILABLE", "TRUST_STALE"}


@dataclass(frozen=True, slots=True)
class Node:
    """A server in this process, its callers, and its clock."""

    callers: Callers
    clock: ShiftedClock


@asynccontextmanager
async def serving(world: World, **settings: Any) -> AsyncIterator[Node]:
    """One more server on the stores."""
    clock, configured = ShiftedClock(), world.settings(postgres_timeout=1, **settings)
    application = await Application.create(configured, await Parts.open(configured, clock))
    try:
        async with Callers(world, await application.start()) as callers:
            yield Node(callers, clock)
    finally:
        await application.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def pair(breakable: Breakable) -> AsyncIterator[tuple[Node, Node]]:
    """Two servers."""
    async with serving(breakable.world) as one, serving(breakable.world) as two:
        yield one, two


# --- Redis ---


async def require_everything_works(one: Callers, two: Callers) -> None:
    """Log in, validate, exchange, replay, refuse reuse, revoke: for JWT and opaque tokens."""
    person = await one.new_person()
    for client in ("web", "opaque"):
        first = await one.log_in(person, client)
        access, once = first.access_tokens[0].token, exchange_id()
        assert await two.gateway.verdict(access) == "ACTIVE"
        second = (await two.client(client).exchange(first.session_token, once)).tokens
        replayed = await one.client(client).exchange(first.session_token, once)
        assert replayed.tokens.session_token == second.session_token
        other = await one.log_in(person, client)
        revision = (await one.client(client).revoke(token=other.session_token)).revision
        killed = other.access_tokens[0].token
        assert await two.gateway.verdict(killed, min_revision=revision) == "REVOKED"
        assert await one.gateway.verdict(access) == "ACTIVE"
        reuse = two.client(client).exchange(first.session_token, exchange_id())
        assert await outcome(reuse) == "TOKEN_REUSED"
        assert await two.gateway.verdict(access) == "REVOKED"


async def test_everything_works_without_redis_and_after_it_is_back(
    breakable: Breakable, pair: tuple[Node, Node]
) -> None:
    one, two = (node.callers for node in pair)
    await require_everything_works(one, two)
    await asyncio.to_thread(breakable.valkey.stop)
    try:
        await require_everything_works(one, two)
        await require_everything_works(two, one)
    finally:
        await asyncio.to_thread(breakable.valkey.start)
    await require_everything_works(one, two)


async def test_what_redis_forgets_was_never_what_counted(
    breakable: Breakable, pair: tuple[Node, Node]
) -> None:
    """Emptied between every two steps; reuse, replay and revocations are remembered."""
    one, two = (node.callers for node in pair)

    def forget() -> None:
        with redis.from_url(breakable.valkey.url) as connection:
            connection.flushall()

    person = await one.new_person()
    for client in ("web", "opaque"):
        first = await one.log_in(person, client)
        once = exchange_id()
        forget()
        second = await one.client(client).exchange(first.session_token, once)
        forget()
        replayed = await two.client(client).exchange(first.session_token, once)
        assert replayed.tokens.session_token == second.tokens.session_token
        access = second.tokens.access_tokens[0].token
        assert await two.gateway.verdict(access) == "ACTIVE"
        forget()
        reuse = two.client(client).exchange(first.session_token, exchange_id())
        assert await outcome(reuse) == "TOKEN_REUSED"
        assert await two.gateway.verdict(access) == "REVOKED"
        forget()

        async def heard_of_it(access: str = access) -> bool:
            return await one.gateway.verdict(access) == "REVOKED"

        await until(heard_of_it)
        for node in (one, two):
            assert await node.gateway.verdict(access) == "REVOKED"
            again = node.client(client).exchange(second.tokens.session_token)
            assert await outcome(again) == "TOKEN_REVOKED"
            forget()


# --- PostgreSQL ---


async def require_unavailable(call: Any) -> None:
    """Refused because a store is gone, with the time after which to come back."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(caught.value) in UNAVAILABLE
    status = rpc_status.from_call(caught.value)
    assert status is not None
    retry = RetryInfo()
    assert any(detail.Unpack(retry) for detail in status.details)
    assert retry.retry_delay.ToTimedelta() > timedelta(0)


async def test_while_postgres_is_down(breakable: Breakable) -> None:
    """Nothing changes, Validate knows what it knew for as long as that may be believed, and the
    same server works again when PostgreSQL does."""
    async with serving(breakable.world, **LONG) as node:
        callers, gateway = node.callers, node.callers.gateway
        person = await callers.new_person()
        seen, unseen, ended = [await callers.log_in(person) for _ in range(3)]
        opaque = await callers.log_in(person, "opaque")
        for tokens in (seen, opaque, ended):
            assert await gateway.verdict(tokens.access_tokens[0].token) == "ACTIVE"
        await callers.web.revoke(token=ended.session_token)
        once = exchange_id()
        await asyncio.to_thread(breakable.postgres.stop)
        try:
            await require_unavailable(callers.web.exchange(seen.session_token, once))
            await require_unavailable(callers.web.revoke(token=seen.session_token))
            await require_unavailable(callers.log_in(person))
            await require_unavailable(callers.own_session())
            for tokens in (seen, unseen, opaque):
                assert await gateway.verdict(tokens.access_tokens[0].token) == "ACTIVE"
            assert await gateway.verdict(ended.access_tokens[0].token) == "REVOKED"

            node.clock.advance(PAST_THE_LIMIT)
            for tokens in (seen, unseen, opaque, ended):
                await require_unavailable(gateway.verdict(tokens.access_tokens[0].token))
            await require_unavailable(callers.web.exchange(seen.session_token, once))
        finally:
            await asyncio.to_thread(breakable.postgres.start)

        async def back() -> bool:
            return not isinstance(await outcome(callers.log_in(person)), str)

        await until(back)
        for tokens in (seen, unseen, opaque):
            assert await gateway.verdict(tokens.access_tokens[0].token) == "ACTIVE"
        assert await gateway.verdict(ended.access_tokens[0].token) == "REVOKED"
        assert not (await callers.web.exchange(seen.session_token, once)).replayed


async def test_health_does_not_promise_what_validate_refuses(breakable: Breakable) -> None:
    """By the services' names; the server as a whole is not to be started anew for it."""
    token_service = "tokenservice.v1.TokenService"
    async with serving(breakable.world, **LONG) as node:
        health = health_pb2_grpc.HealthStub(node.callers.web.channel)
        access = (await node.callers.own_session()).access_tokens[0].token
        assert await node.callers.gateway.verdict(access) == "ACTIVE"
        named, whole = (
            health.Watch(health_pb2.HealthCheckRequest(service=name))
            for name in (token_service, "")
        )
        assert [(await watch.read()).status for watch in (named, whole)] == [SERVING, SERVING]
        await asyncio.to_thread(breakable.postgres.stop)
        try:
            assert await node.callers.gateway.verdict(access) == "ACTIVE"
            assert NOT_SERVING not in (await told_by(health)).values()
            node.clock.advance(PAST_THE_LIMIT)
            assert (await named.read()).status == NOT_SERVING
            await require_unavailable(node.callers.gateway.verdict(access))
            serving_still = {"", "grpc.health.v1.Health"}
            for name, told in (await told_by(health)).items():
                assert told == (SERVING if name in serving_still else NOT_SERVING), name
        finally:
            await asyncio.to_thread(breakable.postgres.start)
        assert (await named.read()).status == SERVING
        assert await node.callers.gateway.verdict(access) == "ACTIVE"
        whole.cancel()
        named.cancel()


async def told_by(health: health_pb2_grpc.HealthStub) -> dict[str, int]:
    """What health says of each service."""
    listed = await health.List(health_pb2.HealthListRequest())
    return {name: one.status for name, one in listed.statuses.items()}


@dataclass(slots=True)
class Traffic:
    """A client that exchanges and tries again with the same id, as it should, and another that
    revokes. It remembers what was acknowledged."""

    nodes: tuple[Callers, Callers]
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    acknowledged: int = 0
    interrupted: int = 0
    revoked: list[types.TokenSet] = field(default_factory=list)

    async def exchange(self, tokens: types.TokenSet) -> types.TokenSet:
        """The last token set; each acknowledged exchange adds one generation."""
        while not self.stop.is_set():
            once = exchange_id()
            for node in self.nodes * 1_000:
                reply = await outcome(node.web.exchange(credential_of(tokens), once))
                if not isinstance(reply, str):
                    break
                assert reply in UNAVAILABLE
                self.interrupted += 1
                await asyncio.sleep(0.05)  # as a client that heeds RetryInfo
            else:
                raise AssertionError("the store never came back")
            tokens = reply.tokens
            self.acknowledged += 1
        return tokens

    async def revoke(self) -> None:
        """Open sessions and end them, again until it is acknowledged."""
        while not self.stop.is_set():
            opened = await outcome(self.nodes[0].own_session())
            if isinstance(opened, str):
                assert opened in UNAVAILABLE
                await asyncio.sleep(0.05)
                continue
            done = await outcome(self.nodes[1].client("api").revoke(token=opened.session_token))
            if not isinstance(done, str):
                self.revoked.append(opened)


async def counted(dsn: str, session_id: str) -> tuple[int, int]:
    """The session's generation, and how many exchanges were audited."""
    conn = await asyncpg.connect(dsn)
    try:
        generation = await conn.fetchval(
            "SELECT generation FROM sessions WHERE session_id = $1::text::uuid", session_id
        )
        audited = await conn.fetchval(
            "SELECT count(*) FROM audit_log WHERE action = 'session.exchange' AND target = $1",
            session_id,
        )
    finally:
        await conn.close()
    return generation, audited


@pytest.mark.parametrize("how", ["stop", "crash"])
async def test_postgres_restarted_under_traffic(
    breakable: Breakable, pair: tuple[Node, Node], how: str
) -> None:
    """Clients that repeat their exchange go on where they were; whatever was acknowledged holds."""
    one, two = (node.callers for node in pair)
    person = await one.new_person()
    traffic = Traffic((one, two))
    chains = [asyncio.create_task(traffic.exchange(await one.log_in(person))) for _ in range(4)]
    revoking = asyncio.create_task(traffic.revoke())

    async def moving(beyond: int) -> bool:
        if any(task.done() for task in (*chains, revoking)):
            await asyncio.gather(*chains, revoking)  # raises what went wrong
        return traffic.acknowledged > beyond and len(traffic.revoked) > 2

    await until(lambda: moving(40))
    await asyncio.to_thread(getattr(breakable.postgres, how))
    try:
        before = traffic.interrupted
        await until(lambda: interrupted(traffic, before))
    finally:
        await asyncio.to_thread(breakable.postgres.start)
    before, revoked = traffic.acknowledged, len(traffic.revoked)
    await until(lambda: moving(before + 40))
    traffic.stop.set()
    async with patience():
        last = await asyncio.gather(*chains)
        await revoking
    assert len(traffic.revoked) >= revoked
    for node in (one, two):
        await until(partial(is_back, node))  # the traffic may have gone on over the other one alone
        for tokens in traffic.revoked:
            assert await node.gateway.verdict(tokens.access_tokens[0].token) == "REVOKED"
            exchanged = await outcome(node.client("api").exchange(tokens.session_token))
            assert exchanged == "TOKEN_REVOKED"
    for tokens in last:
        generation, audited = await counted(breakable.world.dsn, tokens.session_id)
        assert audited == generation - 1
        following = await one.web.exchange(tokens.session_token, exchange_id())
        access = following.tokens.access_tokens[0].token
        assert await two.gateway.verdict(access) == "ACTIVE"
    assert sum([(await counted(breakable.world.dsn, t.session_id))[1] for t in last]) == (
        traffic.acknowledged + len(last)
    )


async def is_back(node: Callers) -> bool:
    """Whether the node answers again: it asks the store for a caller that it has not seen yet."""
    return await outcome(node.gateway.verdict("no token")) not in UNAVAILABLE


async def interrupted(traffic: Traffic, before: int) -> bool:
    """Whether the traffic has met the outage."""
    return traffic.interrupted > before + 8
