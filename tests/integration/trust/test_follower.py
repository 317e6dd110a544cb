"""The follower of the trust log against a real server: prompt, stubborn, never fooled."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

import asyncpg
import pytest

from tests.integration.postgres_world import NOW, World, make_world
from tests.integration.trust.trust_sink import Sink, add, add_silently, following
from tests.support.waiting import PATIENCE, patience
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust import log as trust
from token_service.adapters.postgres.trust.follower import TrustFollower
from token_service.domain import deadline
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import RevocationReason, TrustEffect, TrustEntryKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncpg import Record

    from token_service.domain.trust.reading import TrustReading

NEVER = 3600.0
CONNECTIONS = """SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'token-service trust'"""


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=4)
    yield await make_world(database)
    await database.close()


async def test_the_first_reading_holds_everything(world: World) -> None:
    await add(world, "a", "b", bump_config=True)
    await add(world, bump_keys=True)
    sink = Sink()
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    async with following(world, sink) as follower:
        await follower.refresh()
    after = time.clock_gettime(time.CLOCK_BOOTTIME)

    first = sink.readings[0]
    assert UUID(first.epoch) == await world.value("SELECT epoch FROM trust_head")
    assert (first.since_revision, first.revision, first.valid_rev) == (0, 2, 0)
    assert (first.config_version, first.keys_version) == (1, 1)
    assert [entry.id for entry in first.entries] == ["a", "b"]
    entry = first.entries[0]
    assert (entry.revision, entry.kind) == (1, TrustEntryKind.TOKEN)
    assert (entry.effect, entry.reason) == (TrustEffect.REVOKE, RevocationReason.COMPROMISE)
    assert entry.keep_until == NOW.timestamp() + 360
    assert before <= first.sent_boot <= first.received_boot <= after
    # The server's clock, read between the two readings of ours.
    assert abs(first.db_time - time.time()) < 60


async def test_a_change_arrives_without_waiting_for_the_next_poll(world: World) -> None:
    sink = Sink()
    async with following(world, sink, poll_interval=NEVER) as follower:
        await follower.refresh()
        await add(world, "a")
        await sink.until(lambda: sink.state.revision == 1)
        await add(world, "b", "c")
        await sink.until(lambda: sink.state.revision == 3)
        await add(world, bump_config=True)
        await sink.until(lambda: sink.readings[-1].config_version == 1)

    assert [entry.id for entry in sink.state.live_entries()] == ["a", "b", "c"]
    assert all(len(reading.entries) <= 2 for reading in sink.readings)


async def test_a_change_without_a_notification_arrives_with_the_poll(world: World) -> None:
    sink = Sink()
    async with following(world, sink, poll_interval=0.05) as follower:
        await follower.refresh()
        await add_silently(world, "a")
        await sink.until(lambda: sink.state.revision == 1)


async def test_a_refresh_sees_what_was_committed_before_it(world: World) -> None:
    sink = Sink()
    async with following(world, sink, poll_interval=NEVER) as follower:
        for revision in range(1, 20):
            await add_silently(world, f"t{revision}")
            await asyncio.gather(*(follower.refresh() for _ in range(5)))
            assert sink.state.revision == revision
        readings = len(sink.readings)
        await asyncio.gather(*(follower.refresh() for _ in range(100)))

    assert len(sink.readings) == readings + 1


async def test_a_poke_reads_soon(world: World) -> None:
    sink = Sink()
    async with following(world, sink, poll_interval=NEVER) as follower:
        await follower.refresh()
        await add_silently(world, "a")
        follower.poke()
        await sink.until(lambda: sink.state.revision == 1)


async def test_what_the_sink_refused_comes_again(world: World) -> None:
    await add(world, "a", "b")
    sink = Sink()
    refused: list[TrustReading] = []

    def refuse_thrice(reading: TrustReading) -> bool:
        refused.append(reading)
        return len(refused) <= 3

    sink.refuse = refuse_thrice
    async with following(world, sink):
        await sink.until(lambda: sink.state.revision == 2)

    assert [entry.id for entry in sink.readings[0].entries] == ["a", "b"]
    assert len(refused) >= 4


async def test_a_killed_connection_is_replaced(world: World) -> None:
    sink = Sink()
    async with following(world, sink, poll_interval=NEVER) as follower:
        await follower.refresh()
        for revision in range(1, 4):
            await world.database.execute(
                """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
                   WHERE application_name = 'token-service trust'"""
            )
            await add(world, f"t{revision}")
            await sink.until(lambda: sink.state.revision == revision)  # noqa: B023
        assert await world.value(CONNECTIONS) == 1


async def test_stopping_leaves_nothing_behind(world: World) -> None:
    tasks = asyncio.all_tasks()
    sink = Sink()
    async with following(world, sink, poll_interval=NEVER) as follower:
        await follower.refresh()
        waiting = asyncio.create_task(follower.refresh())
        await asyncio.sleep(0)

    with pytest.raises(TokenServiceError):
        await waiting
    with pytest.raises(TokenServiceError):
        await follower.refresh()
    assert asyncio.all_tasks() == tasks
    async with patience():
        while await world.value(CONNECTIONS):
            pass


async def test_a_follower_starts_once_and_stops_at_any_time(world: World) -> None:
    follower = TrustFollower(world.database, Sink())
    await follower.stop()
    follower.start()
    with pytest.raises(RuntimeError):
        follower.start()
    await follower.stop()
    await follower.stop()


async def test_a_refresh_keeps_to_the_callers_deadline(world: World) -> None:
    sink = Sink()
    async with following(world, sink, poll_interval=NEVER, timeout=3600.0) as follower:
        await follower.refresh()
        async with world.database.transaction() as conn:
            await conn.execute("LOCK TABLE trust_head IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(TokenServiceError) as refusal, deadline.until(0.2):
                await follower.refresh()
        assert refusal.value.reason is Reason.STORE_UNAVAILABLE
        await follower.refresh()


async def test_a_standby_is_never_believed(world: World, dsn: str) -> None:
    """The server seems to be in recovery: what it says may be arbitrarily old."""
    await world.database.execute("CREATE SCHEMA replica")
    await world.database.execute(
        "CREATE FUNCTION replica.pg_is_in_recovery() RETURNS bool LANGUAGE sql RETURN true"
    )
    attempts = 0

    async def connect() -> asyncpg.Connection[Record]:
        nonlocal attempts
        attempts += 1
        path = "replica, pg_catalog, public" if attempts <= 3 else "public"
        return await asyncpg.connect(dsn, server_settings={"search_path": path})

    sink = Sink()
    async with following(world, sink, connect=connect) as follower:
        with pytest.raises(TokenServiceError) as refusal:
            await follower.refresh()
        assert refusal.value.reason is Reason.STORE_UNAVAILABLE
        assert sink.readings == []
        await sink.until(lambda: bool(sink.readings))

    assert attempts == 4


SLOW_LOG = """
CREATE SCHEMA slow;
CREATE VIEW slow.trust_log AS
    SELECT l.* FROM public.trust_log l CROSS JOIN LATERAL (SELECT pg_sleep(0.001 + 0 * l.kind)) s
"""
"""A log whose entries take a millisecond each to read, in place of one of a million."""


async def test_a_log_longer_than_a_statement_may_take_is_read(world: World, dsn: str) -> None:
    ids = [f"t{number}" for number in range(1_000)]
    await add(world, *ids)
    await world.database.execute(SLOW_LOG)

    async def connect() -> asyncpg.Connection[Record]:
        by_index = {"enable_seqscan": "off", "enable_sort": "off"}  # as in a table of that size
        path = {"search_path": "slow, public", "statement_timeout": "500ms", **by_index}
        return await asyncpg.connect(dsn, server_settings=path)

    conn = await connect()
    with pytest.raises(asyncpg.QueryCanceledError):
        await conn.fetch("SELECT * FROM trust_log ORDER BY revision")
    await conn.close()

    sink = Sink()
    options = {"poll_interval": NEVER, "timeout": 0.5, "page": 100, "connect": connect}
    async with following(world, sink, **options) as follower:
        reading = asyncio.create_task(follower.reading())
        # What is revoked meanwhile belongs to the next reading.
        await asyncio.sleep(0)
        await add(world, "later")
        await reading
        await sink.until(lambda: len(sink.state.live_entries()) == 1_001)

    first = sink.readings[0]
    assert (first.since_revision, first.revision) in {(0, 1_000), (0, 1_001)}
    assert [entry.id for entry in first.entries] == [*ids, "later"][: first.revision]
    assert [entry.id for entry in sink.state.live_entries()] == [*ids, "later"]


@pytest.mark.parametrize("entries", [0, 1, 2, 3, 4, 5])
async def test_pages_end_anywhere(world: World, entries: int) -> None:
    ids = [f"t{number}" for number in range(entries)]
    if ids:
        await add(world, *ids)
    sink = Sink()
    async with following(world, sink, poll_interval=NEVER, page=2) as follower:
        await follower.refresh()
        assert [entry.id for entry in sink.readings[0].entries] == ids
        await add(world, "a", "b", "c")
        await follower.refresh()
    assert [entry.id for entry in sink.state.live_entries()] == [*ids, "a", "b", "c"]
    assert sink.state.revision == entries + 3


async def test_entries_that_come_between_two_pages_are_left_to_the_next_reading(
    world: World, dsn: str
) -> None:
    await add(world, "a", "b", "c")
    conn = await asyncpg.connect(dsn)

    class Between:
        """A connection on which somebody else is faster after each statement."""

        async def fetch(self, *query: Any, **options: Any) -> list[Record]:
            rows: list[Record] = await conn.fetch(*query, **options)
            await add(world, "later", bump_config=True)
            return rows

    try:
        reading = await trust.read(
            cast("asyncpg.Connection[Record]", Between()),
            0,
            boot=time.monotonic,
            within=PATIENCE,
            page=1,
        )
    finally:
        await conn.close()
    assert (reading.revision, reading.config_version) == (3, 0)
    assert [entry.id for entry in reading.entries] == ["a", "b", "c"]
