"""A former primary that goes on beside the one that succeeded it, and does not know it."""

import asyncio

import asyncpg
import pytest

from tests.support.postgres_cluster import PostgresCluster
from tests.support.postgres_member import Member
from tests.support.store_fixtures import StartCluster
from token_service.adapters.postgres.pool import Database

_HEAD = "SELECT epoch::text, revision FROM trust_head"
_SUCCEED = """UPDATE trust_head SET revision = revision + 1000000, epoch = gen_random_uuid()
              RETURNING epoch::text, revision"""


async def nothing() -> None:
    """The log is looked at elsewhere."""


@pytest.fixture
def split(start_cluster: StartCluster) -> PostgresCluster:
    """Two servers that both write, each on its own."""
    cluster = start_cluster(standbys=1, synchronous=False)
    cluster.wait_for_replay(cluster.standbys[0])
    cluster.promote(cluster.standbys[0])
    return cluster


async def head_of(split: PostgresCluster, member: Member, sql: str = _HEAD) -> tuple[str, int]:
    conn = await asyncpg.connect(split.dsn_over([member]))
    try:
        row = await conn.fetchrow(sql)
        assert row is not None
        return row["epoch"], row["revision"]
    finally:
        await conn.close()


async def test_no_connection_leads_to_it_once_its_log_is_known_to_have_ended(
    split: PostgresCluster,
) -> None:
    """Whichever is faster to answer: after a failover the other one has all the load."""
    former, successor = split.members
    followed = await head_of(split, former)
    database = await Database.open(split.dsn_over([former, successor]), size=2)

    async def asked() -> str:
        row = await database.fetchrow(_HEAD)
        assert row is not None
        return str(row["epoch"])

    try:
        database.fencing.follow(lambda: followed[0], nothing, lambda: followed[1])
        assert await asked() == followed[0]

        followed = await head_of(split, successor, _SUCCEED)
        database.expire_connections()
        await asyncio.sleep(0)
        assert {await asked() for _ in range(8)} == {followed[0]}
    finally:
        await database.close()
