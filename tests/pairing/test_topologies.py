"""Crowds that pair at one moment, with pairings kept behind Sentinels or in a Cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.callers import Callers
from tests.support.devices import start_map
from tests.support.fixtures import StartApplication
from tests.support.outcomes import all_at_once, reasons, replies
from tests.support.valkey_topologies import ClusterService, SentinelService
from tests.support.world import World

CROWD = 100


@contextmanager
def service(topology: str, folder: Path) -> Iterator[SentinelService | ClusterService]:
    kinds = {"sentinels": SentinelService, "cluster": ClusterService}
    with kinds[topology](folder / topology) as running:
        yield running


@pytest.mark.parametrize("topology", ["sentinels", "cluster"])
async def test_a_crowd_loses_no_pairing(
    world: World, start_application: StartApplication, tmp_path: Path, topology: str
) -> None:
    with service(topology, tmp_path) as running:
        server = await start_application(redis_url=running.url, redis_connections=2, rate_scale=100)
        async with Callers(world, server.address) as callers:
            phone = await callers.log_in(await callers.new_person(), "mobile")
            started = await all_at_once(start_map(callers) for _ in range(CROWD))
            assert reasons(started) == set()
            scanned = await all_at_once(
                pair.scanned(session_token=phone.session_token) for pair in replies(started)
            )
            assert reasons(scanned) == set()
