"""A PostgreSQL primary is lost, and another server succeeds it: with all that was acknowledged, or
without its end. Two nodes follow; what one of them acknowledged holds on both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import jwt

from tests.support.api import exchange_id, reason_of
from tests.support.callers import Callers
from tests.support.store_fixtures import ClusterTemplate, StartCluster
from tests.support.waiting import until
from tests.support.world import World
from token_service.app import Application
from token_service.app.parts import Parts
from token_service.domain.trust.succession import JUMP
from tokenservice.v1 import client_service_pb2 as clients
from tokenservice.v1 import key_service_pb2 as keys
from tokenservice.v1 import token_service_pb2 as tokens
from tokenservice.v1 import types_pb2 as types

UNSURE = {"TRUST_STALE", "STORE_UNAVAILABLE", "OVERLOADED"}


@asynccontextmanager
async def nodes(world: World, dsn: str) -> AsyncIterator[list[Callers]]:
    """Callers of two servers on `dsn`."""
    there = world.moved_to(dsn, None)
    settings = there.settings(staleness_limit=1.5, heartbeat=0.5)
    started: list[tuple[Application, Callers]] = []
    try:
        for _ in range(2):
            application = await Application.create(settings, await Parts.open(settings))
            address = await application.start()
            started.append((application, Callers(there, address)))
        yield [callers for _, callers in started]
    finally:
        for application, callers in started:
            await callers.close()
            await application.stop()


async def outcome(call: Awaitable[Any]) -> str:
    """The verdict, or else OK or the reason."""
    try:
        answer = await call
    except grpc.RpcError as error:
        return reason_of(error)
    return answer if isinstance(answer, str) else "OK"


async def settled(call: Callable[[], Awaitable[Any]]) -> str:
    """The outcome, once it is neither that the store is away nor that the view is stale."""
    found = ""

    async def is_settled() -> bool:
        nonlocal found
        found = await outcome(call())
        return found not in UNSURE

    await until(is_settled)
    return found


async def anew(callers: Callers) -> types.TokenSet:
    """A session, once there is one to be had."""
    made: list[types.TokenSet] = []

    async def issue() -> None:
        made.append(await callers.own_session())

    assert await settled(issue) == "OK"
    return made[0]


async def exchanged(callers: Callers, session: types.TokenSet) -> str:
    api = callers.client("api")
    return await settled(lambda: api.exchange(session.session_token, exchange_id()))


async def verdict(callers: Callers, session: types.TokenSet, **request: Any) -> str:
    access, gateway = session.access_tokens[0].token, callers.gateway
    return await settled(lambda: gateway.verdict(access, **request))


async def revoked(callers: Callers, session: types.TokenSet) -> int:
    return (await callers.client("api").revoke(token=session.session_token)).revision


async def test_nobody_is_logged_out_where_nothing_is_lost(
    start_cluster: StartCluster, cluster_template: ClusterTemplate
) -> None:
    cluster = await asyncio.to_thread(start_cluster)
    async with nodes(cluster_template.world, cluster.dsn) as both:
        kept = [await callers.own_session() for callers in both]
        ended = await both[0].own_session()
        revision = await revoked(both[0], ended)

        await asyncio.to_thread(cluster.fail_over)

        for callers, session in zip(both, kept, strict=True):
            assert await exchanged(callers, session) == "OK"
            assert await verdict(callers, session) == "ACTIVE"
            assert await verdict(callers, ended, min_revision=revision) == "REVOKED"
            assert await revoked(callers, await anew(callers)) > revision + JUMP


async def test_what_a_standby_lacked_does_not_come_to_life_again(
    start_cluster: StartCluster, cluster_template: ClusterTemplate
) -> None:
    """And its revisions mean nothing else afterwards: whoever asks by one gets no older answer."""
    cluster = await asyncio.to_thread(start_cluster, standbys=1, synchronous=False)
    async with nodes(cluster_template.world, cluster.dsn) as both:
        sessions = [await both[0].own_session() for _ in range(3)]
        (standby,) = cluster.standbys
        await asyncio.to_thread(cluster.wait_for_replay, standby)
        await asyncio.to_thread(standby.cut)
        lost = [await revoked(both[0], session) for session in sessions]
        await asyncio.to_thread(cluster.primary.crash)
        await asyncio.to_thread(cluster.promote, standby)

        for callers in both:
            for session, revision in zip(sessions, lost, strict=True):
                assert await exchanged(callers, session) == "TOKEN_REVOKED"
                assert await verdict(callers, session, min_revision=revision) == "REVOKED"
            later = await anew(callers)
            assert await verdict(callers, later) == "ACTIVE"
            assert await revoked(callers, later) > max(lost) + JUMP
            assert await verdict(callers, later) == "REVOKED"


async def widen(callers: Callers, *scopes: str) -> None:
    """Let the client of `own_session` ask for these scopes, too."""
    admin = callers.admin
    found = await admin.clients.GetClient(
        clients.GetClientRequest(client_id="demo-api"), metadata=admin.metadata
    )
    policy = found.client.policy
    policy.scopes.extend(scopes)
    request = clients.UpdateClientPolicyRequest(client_id="demo-api", policy=policy)
    await admin.clients.UpdateClientPolicy(request, metadata=admin.metadata)


async def asked_for(callers: Callers, scope: str) -> str:
    api = callers.client("api")
    request = tokens.IssueRequest(
        client=tokens.ClientCredential(),
        platform=types.PLATFORM_API,
        audiences=["orders"],
        scopes=[scope],
    )
    return await settled(lambda: api.tokens.Issue(request, metadata=api.metadata))


async def test_a_policy_that_a_standby_lacked_is_not_gone_by(
    start_cluster: StartCluster, cluster_template: ClusterTemplate
) -> None:
    """Nodes hold it under a version of the configuration, which another change would get again."""
    cluster = await asyncio.to_thread(start_cluster, standbys=1, synchronous=False)
    async with nodes(cluster_template.world, cluster.dsn) as both:
        (standby,) = cluster.standbys
        await asyncio.to_thread(cluster.wait_for_replay, standby)
        await asyncio.to_thread(standby.cut)
        await widen(both[0], "lost.scope")
        for callers in both:
            assert await asked_for(callers, "lost.scope") == "OK"
        await asyncio.to_thread(cluster.primary.crash)
        await asyncio.to_thread(cluster.promote, standby)

        assert await settled(lambda: widen(both[0], "later.scope")) == "OK"
        for callers in both:
            assert await asked_for(callers, "lost.scope") == "SCOPE_NOT_ALLOWED"
            assert await asked_for(callers, "later.scope") == "OK"


async def test_a_key_whose_compromise_was_lost_signs_nothing_any_more(
    start_cluster: StartCluster, cluster_template: ClusterTemplate
) -> None:
    """Everyone logs in again, but with that key a thief could go on making tokens: the node that
    remembers its compromise repeats it."""
    cluster = await asyncio.to_thread(start_cluster, standbys=1, synchronous=False)
    async with nodes(cluster_template.world, cluster.dsn) as both:
        stolen = _key_of(await both[0].own_session())
        (standby,) = cluster.standbys
        await asyncio.to_thread(cluster.wait_for_replay, standby)
        await asyncio.to_thread(standby.cut)
        admin = both[0].admin
        request = keys.CompromiseKeyRequest(kid=stolen)
        await admin.keys.CompromiseKey(request, metadata=admin.metadata)
        await asyncio.to_thread(cluster.primary.crash)
        await asyncio.to_thread(cluster.promote, standby)

        for callers in both:
            # Its successor may have been lost with it: then there is no key for some seconds.
            await until(lambda: _is_signed_with_another(callers, stolen))  # noqa: B023


async def _is_signed_with_another(callers: Callers, stolen: str) -> bool:
    try:
        made = await callers.own_session()
    except grpc.RpcError as error:
        assert reason_of(error) in UNSURE | {"KEY_STATE"}  # noqa: PT017 - or there is a session
        return False
    if _key_of(made) == stolen:  # the node has not read its keys anew yet
        assert await verdict(callers, made) == "REVOKED"
        return False
    return True


def _key_of(session: types.TokenSet) -> str:
    return str(jwt.get_unverified_header(session.access_tokens[0].token)["kid"])


async def test_behind_a_primary_that_was_succeeded_everything_is_denied(
    start_cluster: StartCluster, cluster_template: ClusterTemplate
) -> None:
    """It lives, can be read, and does not know it: nobody tells it, and these nodes neither."""
    cluster = await asyncio.to_thread(start_cluster)
    zombie = cluster.dsn_over([cluster.primary])
    async with nodes(cluster_template.world, zombie) as both:
        sessions = [await callers.own_session() for callers in both]
        for standby in cluster.standbys:
            await asyncio.to_thread(standby.cut)
        await asyncio.to_thread(cluster.promote, cluster.standbys[0])

        for callers, session in zip(both, sessions, strict=True):
            access = session.access_tokens[0].token
            gateway, api = callers.gateway, callers.client("api")

            async def is_denied() -> bool:
                return await outcome(gateway.verdict(access)) in UNSURE  # noqa: B023

            await until(is_denied)
            assert await outcome(api.exchange(session.session_token, exchange_id())) in UNSURE
            assert await outcome(api.revoke(token=session.session_token)) in UNSURE
            assert await is_denied()


async def test_nodes_leave_a_primary_that_was_succeeded_for_one_that_they_can_reach(
    start_cluster: StartCluster, cluster_template: ClusterTemplate
) -> None:
    """Nothing ends their connections to the former one, and it answers whatever only reads."""
    cluster = await asyncio.to_thread(start_cluster)
    async with nodes(cluster_template.world, cluster.dsn) as both:
        sessions = [await callers.own_session() for callers in both]
        chosen, other = cluster.standbys
        for standby in (chosen, other):
            await asyncio.to_thread(standby.cut)
        await asyncio.to_thread(cluster.promote, chosen)
        await asyncio.to_thread(cluster.repoint, other)

        for callers, session in zip(both, sessions, strict=True):
            assert await exchanged(callers, session) == "OK"
            assert await verdict(callers, session) == "ACTIVE"
