"""A failover that may lose what was acknowledged: refused where required, told elsewhere."""

import asyncio
from collections.abc import Awaitable

import grpc
import pytest
from structlog.testing import capture_logs

from tests.support.api import reason_of
from tests.support.postgres_cluster import PostgresCluster
from tests.support.store_fixtures import ClusterTemplate, StartCluster
from tests.support.waiting import until
from tests.support.world import World
from token_service.app import Application
from token_service.app.database import main_source
from token_service.app.errors import StartupError
from token_service.app.parts import Parts
from token_service.cli.doctor import postgres
from token_service.cli.doctor.checks import Check, Status


@pytest.fixture
def cluster(start_cluster: StartCluster) -> PostgresCluster:
    return start_cluster(standbys=1)


@pytest.fixture
def world(cluster: PostgresCluster, cluster_template: ClusterTemplate) -> World:
    return cluster_template.world_on(cluster)


async def opened(world: World, **settings: str) -> list[str]:
    """Start as a server does; the causes that were reported."""
    with capture_logs() as lines:
        parts = await Parts.open(world.settings(**settings))
        await parts.close()
    return [line["cause"] for line in lines if line["event"] == "replication_is_asynchronous"]


async def found(world: World, **settings: str) -> Check:
    """What the doctor says of the replication."""
    configured = world.settings(**settings)
    source, demands = main_source(configured), postgres.Demands.of(configured)
    checks, _ = await postgres.check(source, source, demands)
    (check,) = (check for check in checks if check.name == "replication")
    return check


async def test_every_way_to_lose_commits_is_named(cluster: PostgresCluster, world: World) -> None:
    required = {"postgres_synchronous": "required"}
    assert await opened(world) == []
    assert await opened(world, **required) == []
    assert (await found(world, **required)).status is Status.OK
    names = "ANY 1 (member1, member2)"

    for settings, cause in (
        ({"synchronous_commit": "local"}, "synchronous_commit is local"),
        ({"synchronous_commit": "remote_write"}, "synchronous_commit is remote_write"),
        ({"synchronous_standby_names": ""}, "synchronous_standby_names is empty"),
    ):
        await asyncio.to_thread(cluster.primary.configure, **settings)

        with pytest.raises(StartupError, match=f"POSTGRES_SYNCHRONOUS: .*: {cause}"):
            await opened(world, **required)
        (reported,) = await opened(world)
        assert reported.startswith(cause)
        assert (await found(world)).status is Status.WARN
        assert (await found(world, **required)).status is Status.FAIL
        back = {"synchronous_commit": "on", "synchronous_standby_names": names}
        await asyncio.to_thread(cluster.primary.configure, **back)

    assert await opened(world, **required) == []


async def test_a_server_alone_has_nothing_to_report(cluster: PostgresCluster, world: World) -> None:
    (standby,) = cluster.standbys
    await asyncio.to_thread(cluster.primary.configure, synchronous_standby_names="")
    await asyncio.to_thread(standby.cut)

    assert await opened(world) == []
    with pytest.raises(StartupError, match="synchronous_standby_names is empty"):
        await opened(world, postgres_synchronous="required")


async def test_a_server_that_requires_it_stops_when_it_ends(
    cluster: PostgresCluster, world: World
) -> None:
    settings = world.settings(postgres_synchronous="required", staleness_limit=2, heartbeat=0.5)
    application = await Application.create(settings)
    address = await application.start()
    names = "ANY 1 (member1, member2)"
    try:
        async with (
            world.api(address, "demo-web") as web,
            world.api(address, "demo-gateway") as gateway,
        ):
            tokens = await web.login(world.username, world.password)
            await until(lambda: not application.why_not_ready())

            await asyncio.to_thread(cluster.primary.configure, synchronous_standby_names="")
            await until(lambda: "POSTGRES_SYNCHRONOUS" in application.why_not_ready())
            assert application.counts().troubles["asynchronous_replication"] == 1
            assert await refusal(web.exchange(tokens.session_token)) == "STORE_UNAVAILABLE"
            # A server that commits for itself alone may have been succeeded: its view grows old.
            await until(lambda: not application.parts.trust.is_fresh())
            asked = gateway.validate(tokens.access_tokens[0].token, "orders")
            assert await refusal(asked) in ("TRUST_STALE", "STORE_UNAVAILABLE")

            await asyncio.to_thread(cluster.primary.configure, synchronous_standby_names=names)
            await until(lambda: not application.why_not_ready())
            assert application.counts().troubles["asynchronous_replication"] == 0
            await web.exchange(tokens.session_token)
    finally:
        await application.stop()


async def refusal(call: Awaitable[object]) -> str:
    """Why the call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call
    return reason_of(error.value)
