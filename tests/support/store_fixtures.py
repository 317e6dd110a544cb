"""Fixtures of the stores that a company runs: a replicated PostgreSQL, Patroni, a pooler."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.patroni import PatroniCluster
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres_cluster import DATABASE, PostgresCluster
from tests.support.world import World, seed
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.postgres.migrate import migrate

StartCluster = Callable[..., PostgresCluster]
StartPatroni = Callable[..., PatroniCluster]
StartPgBouncer = Callable[..., PgBouncer]

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class ClusterTemplate:
    """A stopped server's data directory with the seeded world in it; clusters are copies of it."""

    folder: Path
    world: World

    def world_on(
        self, cluster: PostgresCluster | PatroniCluster, redis_url: str | None = None
    ) -> World:
        """The seeded data in a cluster, by the address that lists all of its members."""
        return self.world.moved_to(cluster.dsn, redis_url)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def cluster_template(open_dir: Path) -> ClusterTemplate:
    """Made once for all clusters of the session."""
    folder = open_dir / "cluster-template"
    postgres = EmbeddedPostgres(folder, database=DATABASE, fsync=False)
    await asyncio.to_thread(postgres.start)
    try:
        await asyncio.to_thread(migrate, postgres.dsn)
        empty = World(postgres.dsn, None, SecretKeys.generate_text(), {}, "", "")
        world = await seed(empty)
    finally:
        await asyncio.to_thread(postgres.stop)
    return ClusterTemplate(folder, world)


@pytest.fixture
def start_cluster(cluster_template: ClusterTemplate, open_dir: Path) -> Iterator[StartCluster]:
    """Start replicated servers with the seeded world in them; see PostgresCluster."""
    started: list[PostgresCluster] = []

    def start(**described: Any) -> PostgresCluster:
        folder = open_dir / f"cluster-{next(_numbers)}"
        cluster = PostgresCluster(folder, cluster_template.folder, **described)
        started.append(cluster)
        cluster.start()
        return cluster

    yield start
    for cluster in started:
        cluster.stop()
        cluster.remove()


@pytest.fixture
def start_pgbouncer(open_dir: Path) -> Iterator[StartPgBouncer]:
    """Start poolers before a database of the test; see PgBouncer. Skips where there is none."""
    started: list[PgBouncer] = []

    def start(dsn: str, *, mode: str, **settings: str) -> PgBouncer:
        pooler = PgBouncer(open_dir / f"pgbouncer-{next(_numbers)}", dsn, mode=mode, **settings)
        started.append(pooler)
        pooler.start()
        return pooler

    yield start
    for pooler in started:
        pooler.stop()


@pytest.fixture
def start_patroni(cluster_template: ClusterTemplate, open_dir: Path) -> Iterator[StartPatroni]:
    """Start clusters that Patroni keeps, with the seeded world in them. Skips where it is missing.

    Keywords are settings of the cluster; see PatroniCluster.
    """
    started: list[PatroniCluster] = []

    def start(**settings: Any) -> PatroniCluster:
        folder = open_dir / f"patroni-{next(_numbers)}"
        cluster = PatroniCluster(folder, cluster_template.folder, **settings)
        started.append(cluster)
        cluster.start()
        return cluster

    yield start
    for cluster in started:
        cluster.kill()
        cluster.remove()
