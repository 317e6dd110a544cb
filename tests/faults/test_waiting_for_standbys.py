"""No answer is given before what it rests on has reached the standby, for every call that changes.

The calls are made twice: what the second one finds done must be as safe as what the first one did.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import asyncpg
import grpc
import pytest
import pytest_asyncio

from tests.conftest import Stores
from tests.integration.audited_changes import CHANGES, UNCHANGING
from tests.integration.error_causes.scene import ADMIN, Scene
from tests.support.postgres_cluster import DATABASE, PostgresCluster
from tests.support.servers import ServerProcess
from tests.support.store_fixtures import ClusterTemplate
from tests.support.waiting import patience
from token_service.rpc.policy_table import METHODS
from tokenservice.v1 import user_service_pb2 as users

WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE wait_event = 'SyncRep' AND application_name = 'token-service main'
"""
OURS = "/tokenservice.v1."


@pytest.fixture(scope="module")
def cluster(cluster_template: ClusterTemplate, open_dir: Path) -> Iterator[PostgresCluster]:
    """A primary that waits for its one standby."""
    with PostgresCluster(open_dir / "waiting", cluster_template.folder, standbys=1) as cluster:
        yield cluster
    cluster.remove()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def scene(
    cluster_template: ClusterTemplate, cluster: PostgresCluster, embedded: Stores
) -> AsyncIterator[Scene]:
    """One server for all calls; its stores wait longer than any test."""
    world = cluster_template.world_on(cluster, embedded.valkey.url)
    server = ServerProcess(world.environment(rate_scale="100", postgres_timeout="60s"))
    database = await asyncpg.connect(cluster.primary.dsn_of(DATABASE))
    try:
        async with Scene(world, server, database) as made:
            await read(made)  # the first use of credentials is a commit as well
            yield made
    finally:
        await database.close()
        server.kill()
        sys.stdout.writelines(server.output[-40:])


def test_every_call_that_changes_acknowledges() -> None:
    only_read = {
        name.removeprefix(OURS).replace("/", ".")
        for name, row in METHODS.items()
        if name.startswith(OURS) and not row.acknowledges
    }
    assert only_read == UNCHANGING


@pytest.mark.parametrize("name", CHANGES)
async def test_no_answer_comes_before_the_standby_has_it(
    scene: Scene, cluster: PostgresCluster, name: str
) -> None:
    call = await CHANGES[name](scene)
    await call()

    answers = await answered_while_cut(scene, cluster, call)

    assert answers == "none"


async def answered_while_cut(
    scene: Scene, cluster: PostgresCluster, call: Callable[[], Awaitable[object]]
) -> str:
    """What the call answers while the standby stands still: `none` when it waits for it."""
    (standby,) = cluster.standbys
    await asyncio.to_thread(standby.freeze)
    answer = asyncio.ensure_future(call())
    try:
        async with patience():
            while not answer.done() and not await scene.database.fetchval(WAITING):
                await asyncio.sleep(0.005)
        # Somebody waits, and by the time of another answer it is plain that this call does.
        await read(scene)
        waits = not answer.done()
    finally:
        await asyncio.to_thread(standby.thaw)
    try:
        await answer
    except grpc.aio.AioRpcError as error:
        return "none" if waits else f"{error.code().name} {error.details()}"
    return "none" if waits else "OK"


async def read(scene: Scene) -> None:
    """A call that reads."""
    await scene.call(ADMIN, "users", "ListRoles", users.ListRolesRequest())
