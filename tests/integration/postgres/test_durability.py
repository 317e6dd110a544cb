"""Commits by which an answer becomes safe: shared, few, and never of another log."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import pytest
import pytest_asyncio
from asyncpg import Record

from tests.integration.postgres_world import NOW, World, event, make_world, revocation
from tests.support.hands import Hands
from tests.support.node import started
from token_service.adapters.postgres.durability import REMEMBERED_SECONDS, Durability
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.domain import durability
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import TrustEntryKind
from token_service.usecases.sessions.exchange import ExchangeRequest

WRITTEN = "SELECT pg_current_xact_id_if_assigned() IS NOT NULL"


class Counted(Durability):
    """Counts its commits."""

    commits = 0

    async def _commit(self, asked: Sequence[str | None]) -> list[bool]:
        self.commits += 1
        return await super()._commit(asked)


@pytest_asyncio.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn)
    yield await make_world(database)
    await database.close()


@pytest_asyncio.fixture
async def epoch(world: World) -> str:
    return str(await world.value("SELECT epoch FROM trust_head"))


async def nothing() -> None:
    """No server has to be looked at."""


async def refused(durable: Durability, epoch: str | None) -> None:
    with pytest.raises(TokenServiceError) as refusal:
        await durable.settle(epoch)
    assert refusal.value.reason is Reason.STORE_UNAVAILABLE


async def test_all_who_ask_meanwhile_share_a_commit(world: World, epoch: str) -> None:
    durable = Counted(world.database)

    await asyncio.gather(*(durable.settle(epoch) for _ in range(1_000)))
    assert durable.commits == 1

    first = asyncio.create_task(durable.settle(epoch))
    while durable.commits == 1:
        await asyncio.sleep(0)
    await asyncio.gather(first, *(durable.settle(epoch) for _ in range(1_000)))
    assert durable.commits == 3  # what is under way may have begun before they read


async def test_one_fact_is_confirmed_once_a_minute(world: World, epoch: str) -> None:
    hands = Hands()
    logs = [epoch]
    world.database.fencing.follow(lambda: logs[-1], nothing)
    durable = Counted(world.database, monotonic=hands)

    for _ in range(50):
        await durable.confirm(("session", 2))
    assert durable.commits == 1

    await durable.confirm(("session", 3))
    assert durable.commits == 2

    hands.now += REMEMBERED_SECONDS
    await durable.confirm(("session", 2))
    assert durable.commits == 3

    # In another log it may have been lost, and done again.
    logs.append(str(await world.value("UPDATE trust_head SET epoch = $1 RETURNING epoch", uuid4())))
    await durable.confirm(("session", 2))
    assert durable.commits == 4


async def test_what_was_read_in_another_log_cannot_be_made_safe(world: World, epoch: str) -> None:
    looked: list[str] = []

    async def look() -> None:
        looked.append("anew")

    world.database.fencing.follow(lambda: epoch, look)
    durable = Durability(world.database)
    basis = durable.begin()
    await world.database.execute("UPDATE trust_head SET epoch = $1", uuid4())

    await refused(durable, basis.epoch)
    with pytest.raises(TokenServiceError):
        await durable.confirm("fact")
    assert not basis.committed
    assert looked == ["anew"] * 2

    await world.database.execute("DELETE FROM trust_head")
    await refused(durable, None)


async def test_on_a_server_that_nobody_looked_at_nothing_is_safe(world: World) -> None:
    """A standby that was promoted meanwhile carries the former epoch at first."""
    await world.database.execute("UPDATE trust_head SET timeline = trust_timeline() + 1")

    await refused(Durability(world.database), None)


async def test_nothing_begins_where_nothing_may_be_acknowledged(world: World) -> None:
    allowed = [True]
    durable = Durability(world.database, lambda: allowed[-1])
    durable.begin()
    allowed.append(False)
    with pytest.raises(TokenServiceError) as refusal:
        durable.begin()
    assert refusal.value.reason is Reason.STORE_UNAVAILABLE


async def test_a_call_knows_what_its_stores_did(world: World, epoch: str) -> None:
    durable = Durability(world.database)
    basis = durability.start(epoch)
    assert (basis.has_read, basis.committed) == (False, False)

    session = await world.issue()
    assert (basis.has_read, basis.committed) == (False, True)

    await world.sessions.view(session.lookup_id)
    assert (basis.has_read, basis.committed) == (True, False)

    await durable.settle(epoch)
    assert (basis.has_read, basis.committed) == (False, True)

    assert await world.sessions.insert(session, world.guard(config_version=7), event("x")) is None
    assert not basis.committed


async def test_a_transaction_without_a_change_commits_all_the_same(world: World) -> None:
    """Only a commit that wrote something waits for a standby."""
    before = await world.value("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    async with world.database.transaction() as conn:
        assert not await conn.fetchval(WRITTEN)

    after = await world.value("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
    assert after > before


async def test_what_is_asked_for_again_and_again_is_confirmed_once(dsn: str) -> None:
    """Repeated exchanges write next to nothing, however many they are."""
    async with started(dsn) as node:
        app = await node.app()
        durable = Counted(node.database)
        counting = node.but(durability=durable)
        tokens = await node.own_session(app)
        request = ExchangeRequest(token=tokens.session_token, exchange_id=bytes(16))
        first = await counting.usecases.sessions.exchange(app, request)
        assert durable.commits == 0

        again = [await counting.usecases.sessions.exchange(app, request) for _ in range(20)]

        assert {one.tokens.session_token for one in again} == {first.tokens.session_token}
        assert durable.commits == 1


async def test_what_was_found_revoked_in_another_log_is_not_acknowledged(
    world: World, epoch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failover in between may have lost it."""
    logs = [epoch]
    world.database.fencing.follow(lambda: logs[-1], nothing)
    session, store = await world.issue(), RevocationStore(world.database)
    asked = revocation(TrustEntryKind.SESSION, session.session_id)
    await store.revoke(asked, NOW)
    fetch = world.database.fetch

    async def fetch_and_fail_over(sql: str, *args: object) -> list[Record]:
        rows = await fetch(sql, *args)
        moved = "UPDATE trust_head SET epoch = $1 RETURNING epoch"
        logs.append(str(await world.value(moved, uuid4())))
        return rows

    with monkeypatch.context() as patched:
        patched.setattr(world.database, "fetch", fetch_and_fail_over)
        with pytest.raises(TokenServiceError) as refusal:
            await store.revoke(asked, NOW)
    assert refusal.value.reason is Reason.STORE_UNAVAILABLE
    assert (await store.revoke(asked, NOW)).sessions == 0
    await store.close()
