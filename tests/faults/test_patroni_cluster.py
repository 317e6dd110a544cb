"""The service on a cluster that Patroni keeps as docs/operations.md says."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.api import reason_of
from tests.support.callers import Callers
from tests.support.command_line import CommandLine
from tests.support.documents import OPERATIONS, blocks
from tests.support.patroni import PatroniCluster, lacking_patroni
from tests.support.servers import ServerProcess
from tests.support.store_fixtures import ClusterTemplate, StartPatroni
from tests.support.waiting import patience, wait_until
from tests.support.world import World
from tokenservice.v1 import types_pb2 as types

pytestmark = pytest.mark.stores
SETTING = "TOKEN_SERVICE_POSTGRES_SYNCHRONOUS"


def _documented() -> dict[str, Any]:
    """The settings that the page asks for."""
    if why := lacking_patroni():
        pytest.skip(why)
    import yaml  # type: ignore[import-untyped]  # Patroni brings it along

    [block] = blocks(OPERATIONS, "patroni")
    settings: dict[str, Any] = yaml.safe_load(block.code)
    return settings


async def _exchanged(callers: Callers, tokens: types.TokenSet) -> types.TokenSet:
    """The successor, asked for again and again while the database is away."""
    once = os.urandom(16)
    async with patience():
        while True:
            try:
                return (await callers.client("api").exchange(tokens.session_token, once)).tokens
            except grpc.aio.AioRpcError as error:
                if reason_of(error) != "STORE_UNAVAILABLE":
                    raise
                await asyncio.sleep(0.05)


async def _doctor(world: World, folder: Path) -> dict[str, dict[str, str]]:
    """What the doctor says, by the name of the check."""
    line = CommandLine(folder, world.environment(postgres_synchronous="required"))
    ran = await asyncio.to_thread(line.run_apart, "doctor", "--json")
    return {check["name"]: check for check in json.loads(ran.out)["checks"]}


async def test_sessions_go_on_over_a_switchover_and_a_crash(
    start_patroni: StartPatroni, cluster_template: ClusterTemplate, redis_url: str, tmp_path: Path
) -> None:
    cluster: PatroniCluster = await asyncio.to_thread(lambda: start_patroni(**_documented()))
    world = cluster_template.world_on(cluster, redis_url)
    environment = world.environment(postgres_synchronous="required")
    server = await asyncio.to_thread(ServerProcess, environment)
    try:
        async with Callers(world, server.address) as callers:
            tokens = await callers.own_session()
            first = await asyncio.to_thread(cluster.leader)
            second = await asyncio.to_thread(cluster.switch_over)
            assert second is not first
            tokens = await _exchanged(callers, tokens)
            await asyncio.to_thread(cluster.wait_until_whole)
            await asyncio.to_thread(second.crash_postgres)
            await asyncio.to_thread(cluster.wait_for_another, second)
            await _exchanged(callers, tokens)
            await asyncio.to_thread(cluster.wait_until_whole)
        checks = await _doctor(world, tmp_path)
        assert checks["replication"]["status"] == "ok"
        assert "all sessions went on" in checks["trust server"]["detail"]
    finally:
        server.kill()
    await asyncio.to_thread(_go_asynchronous, cluster)
    checks = await _doctor(world, tmp_path)
    assert checks["replication"]["status"] == "fail"
    assert SETTING in checks["replication"]["detail"]
    with pytest.raises(RuntimeError, match=f"{SETTING}: synchronous replication is required"):
        await asyncio.to_thread(ServerProcess, environment)


def _go_asynchronous(cluster: PatroniCluster) -> None:
    cluster.configure(synchronous_mode=None, synchronous_mode_strict=None)
    wait_until(lambda: not cluster.leader().sql("SHOW synchronous_standby_names"))
