"""What became visible although no standby has it: never acknowledged, and so not missed."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import grpc
import pytest_asyncio

from tests.conftest import Stores
from tests.integration.audited_changes import CHANGES
from tests.integration.error_causes.scene import Scene
from tests.support.postgres_cluster import DATABASE, PostgresCluster
from tests.support.servers import ServerProcess
from tests.support.store_fixtures import ClusterTemplate, StartCluster
from tests.support.waiting import LOOKING, patience

DONE = {
    "session.exchange": "TokenService.Exchange",
    "session.revoke": "SessionService.RevokeSession",
    "code.redeem": "CodeService.RedeemCode",
    "client.rotate_secret": "ClientService.RotateClientSecret",
}
"""By the action of their audit rows."""

GIVE_UP = """
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE wait_event = 'SyncRep' AND application_name = 'token-service main'
"""
AUDITED = "SELECT count(*) FROM audit_log WHERE action = $1"


@pytest_asyncio.fixture(loop_scope="session")
async def cluster(start_cluster: StartCluster) -> PostgresCluster:
    return await asyncio.to_thread(start_cluster, standbys=1)


@pytest_asyncio.fixture(loop_scope="session")
async def scene(
    cluster_template: ClusterTemplate, cluster: PostgresCluster, embedded: Stores
) -> AsyncIterator[Scene]:
    world = cluster_template.world_on(cluster, embedded.valkey.url)
    settings = {"postgres_timeout": "60s", "staleness_limit": "30s"}
    server = ServerProcess(world.environment(rate_scale="100", **settings))
    database = await asyncpg.connect(cluster.primary.dsn_of(DATABASE))
    try:
        async with Scene(world, server, database) as made:
            yield made
    finally:
        await database.close()
        server.kill()
        sys.stdout.writelines(server.output[-40:])


async def test_nobody_is_told_of_what_a_failover_loses(
    scene: Scene, cluster: PostgresCluster
) -> None:
    """A commit that an operator has come back becomes visible, its caller and every retry of it
    get no answer, and the new primary lacks it."""
    calls = {action: await CHANGES[name](scene) for action, name in DONE.items()}
    await scene.user()  # the first use of credentials is a commit as well
    (standby,) = cluster.standbys
    await asyncio.to_thread(standby.cut)

    for action, call in calls.items():
        assert await answer_of_what_is_given_up(scene, call) == "UNAVAILABLE"
        assert await scene.database.fetchval(AUDITED, action) == 1
        assert (
            await answer_of_what_is_given_up(scene, call) == "UNAVAILABLE"
        )  # it finds itself done

    await asyncio.to_thread(cluster.primary.crash)
    await asyncio.to_thread(cluster.promote, standby)
    database = await asyncpg.connect(standby.dsn_of(DATABASE))
    try:
        kept = {action: await database.fetchval(AUDITED, action) for action in DONE}
    finally:
        await database.close()
    assert kept == dict.fromkeys(DONE, 0)


async def answer_of_what_is_given_up(scene: Scene, call: Callable[[], Awaitable[object]]) -> str:
    """What the call is told, whose commits somebody makes come back without the standby."""
    answer = asyncio.ensure_future(call())
    async with patience():
        while not answer.done():
            await scene.database.fetch(GIVE_UP)
            await asyncio.sleep(LOOKING)
    try:
        await answer
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"
