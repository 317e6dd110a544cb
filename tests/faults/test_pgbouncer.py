"""The pooler that tests put before PostgreSQL behaves as the one that companies run."""

import asyncio

import asyncpg
import pytest

from tests.support.store_fixtures import StartCluster, StartPgBouncer
from tests.support.waiting import patience

pytestmark = pytest.mark.stores


@pytest.mark.parametrize(("mode", "backends"), [("session", 2), ("transaction", 1)])
async def test_two_connections_share_a_backend_in_transaction_mode_alone(
    dsn: str, start_pgbouncer: StartPgBouncer, mode: str, backends: int
) -> None:
    pooler = start_pgbouncer(dsn, mode=mode)
    async with patience():
        one = await asyncpg.connect(pooler.dsn, statement_cache_size=0)
        two = await asyncpg.connect(pooler.dsn, statement_cache_size=0)
        pids = {await each.fetchval("SELECT pg_backend_pid()") for each in (one, two)}
        assert len(pids) == backends
        await one.close()
        await two.close()


async def test_startup_parameters_are_refused(dsn: str, start_pgbouncer: StartPgBouncer) -> None:
    pooler = start_pgbouncer(dsn, mode="transaction")
    with pytest.raises(asyncpg.ProtocolViolationError, match="startup parameter"):
        await asyncpg.connect(pooler.dsn, server_settings={"statement_timeout": "1000"})


async def test_it_is_pointed_at_the_new_primary(
    start_cluster: StartCluster, start_pgbouncer: StartPgBouncer
) -> None:
    cluster = await asyncio.to_thread(start_cluster)
    pooler = start_pgbouncer(cluster.primary.dsn, mode="transaction")
    async with patience():
        connection = await asyncpg.connect(pooler.dsn, statement_cache_size=0)
        assert await connection.fetchval("SHOW port") == str(cluster.primary.port)
        await asyncio.to_thread(cluster.fail_over)
        pooler.point_at(cluster.primary.dsn)
        await connection.close()
        after = await asyncpg.connect(pooler.dsn, statement_cache_size=0)
        assert await after.fetchval("SHOW port") == str(cluster.primary.port)
        await after.close()
