"""Removing what is over: all of it and nothing else, in nobody's way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from tests.integration.postgres_world import (
    NOW,
    World,
    advance_of,
    event,
    holding,
    make_world,
    until_blocked,
)
from tests.support.removing import removed
from tests.support.waiting import patience
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.postgres.login.attempts import Attempts
from token_service.adapters.postgres.migrate import migrate
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.removal import (
    LONG_AGO,
    REMOVAL_LOCK,
    Batch,
    Removal,
    removal_of,
)
from token_service.adapters.postgres.sessions import sql as session_sql
from token_service.app.sweeper import FIRST_BATCH, WHOLE_TIME, Sweeper
from token_service.domain.errors import Reason, TokenServiceError, store_unavailable
from token_service.domain.ports import AttemptBucket

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
MANY = 5 * FIRST_BATCH

_COPY = """
INSERT INTO sessions SELECT (jsonb_populate_record(s, jsonb_build_object(
    'session_id', gen_random_uuid(), 'lookup_id', gen_random_uuid(),
    'absolute_expires_at', $2::timestamptz + n * $3::interval))).*
FROM sessions s, generate_series(1, $4::integer) AS n WHERE s.session_id = $1
"""


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=4, call_timeout=10.0)
    yield await make_world(database)
    await database.close()


async def fill(world: World, count: int, *, step: timedelta) -> None:
    """That many sessions that end at NOW at the latest, one `step` after the other."""
    pattern = await world.issue(world.session(absolute_expires_at=NOW))
    await world.database.execute(_COPY, pattern.session_id, NOW - count * step, step, count - 1)


async def stored(world: World) -> set[UUID]:
    rows = await world.database.fetch("SELECT session_id FROM sessions")
    return {row["session_id"] for row in rows}


def sweeper(world: World) -> Sweeper:
    return Sweeper((world.sessions.removal,))


# --- what goes, and what stays ------------------------------------------------------------------


@pytest.mark.parametrize("step", [timedelta(), SECOND], ids=["all at once", "one by one"])
async def test_all_that_is_over_goes_and_nothing_else(world: World, step: timedelta) -> None:
    await fill(world, MANY, step=step)
    kept = [await world.issue(world.session(absolute_expires_at=NOW + SECOND)) for _ in range(3)]

    await sweeper(world)(NOW)

    assert await stored(world) == {session.session_id for session in kept}


async def test_what_ends_later_goes_later(world: World) -> None:
    sweep = sweeper(world)
    for hour in range(3):
        await world.issue(world.session(absolute_expires_at=NOW + hour * HOUR))
    for left in (2, 1, 0):
        await sweep(NOW + (2 - left) * HOUR)
        assert len(await stored(world)) == left


async def test_a_row_outlives_those_that_it_let_in(world: World) -> None:
    sweep = sweeper(world)
    top = await world.issue(world.session(absolute_expires_at=NOW))
    below = await world.issue(
        world.session(absolute_expires_at=NOW - HOUR, parent_session_id=top.session_id)
    )
    last = await world.issue(
        world.session(absolute_expires_at=NOW + HOUR, parent_session_id=below.session_id)
    )
    await sweep(NOW)
    assert await stored(world) == {one.session_id for one in (top, below, last)}
    # From the bottom up, in as many rounds as there are layers.
    for left in (2, 1, 0):
        await sweep(NOW + HOUR + (3 - left) * WHOLE_TIME)
        assert len(await stored(world)) == left


async def test_rows_that_stay_do_not_keep_others(world: World) -> None:
    """More rows that end at the same time than fit into a batch, all with a session below."""
    await fill(world, 2 * FIRST_BATCH, step=timedelta())
    await world.issue(world.session(absolute_expires_at=NOW + SECOND))
    live = await world.issue(world.session(absolute_expires_at=NOW + timedelta(days=1)))
    await world.database.execute(
        """INSERT INTO sessions SELECT (jsonb_populate_record(s, jsonb_build_object(
               'session_id', gen_random_uuid(), 'lookup_id', gen_random_uuid(),
               'parent_session_id', p.session_id))).*
           FROM sessions s, sessions p WHERE s.session_id = $1 AND p.absolute_expires_at = $2""",
        live.session_id,
        NOW,
    )
    before = await stored(world)

    async with patience():
        await sweeper(world)(NOW + SECOND)

    assert len(before - await stored(world)) == 1


# --- in nobody's way ----------------------------------------------------------------------------


async def test_a_locked_row_is_skipped_and_goes_later(world: World) -> None:
    ended = [await world.issue(world.session(absolute_expires_at=NOW)) for _ in range(3)]
    sweep = sweeper(world)
    lock = "SELECT FROM sessions WHERE session_id = $1 FOR NO KEY UPDATE"  # as an exchange does
    async with holding(world.database, lock, ended[1].session_id), patience():
        await sweep(NOW)
        assert await stored(world) == {ended[1].session_id}
    await sweep(NOW + WHOLE_TIME)
    assert not await stored(world)


async def test_an_exchange_does_not_wait_for_a_removal_of_others(world: World) -> None:
    await world.issue(world.session(absolute_expires_at=NOW))
    live = await world.issue()
    async with world.database.transaction() as conn:  # a batch that takes its time
        await conn.execute(world.sessions.removal.statement, NOW, 100, LONG_AGO)
        async with patience():
            assert await world.sessions.advance(advance_of(live), event("exchange")) is not None


async def test_a_row_that_changed_meanwhile_stays(world: World) -> None:
    """A count that starts afresh after the batch saw the row and before the batch locks it."""
    attempts = Attempts(world.database)
    bucket = AttemptBucket(key=b"k" * 32, limit=5, window=HOUR, lock=HOUR)
    await attempts.reserve((bucket,), NOW - 2 * HOUR)
    waits = removal_of("attempts", "window_ends_at", key="pg_advisory_xact_lock(7)::text")
    async with holding(world.database, "SELECT pg_advisory_xact_lock(7)"):
        removing = asyncio.create_task(removed(Removal(world.database, waits), NOW))
        await until_blocked(world.database)
        await attempts.reserve((bucket,), NOW)
    assert await removing == 0
    assert await world.value("SELECT failures FROM attempts") == 1


# --- one at a time ------------------------------------------------------------------------------


async def test_who_finds_another_at_it_leaves_it_to_that_one(world: World) -> None:
    await world.issue(world.session(absolute_expires_at=NOW))
    async with holding(world.database, "SELECT pg_advisory_xact_lock($1)", REMOVAL_LOCK):
        async with patience():
            assert await world.sessions.removal(NOW, 10) is None
            await sweeper(world)(NOW)
        assert len(await stored(world)) == 1
    await sweeper(world)(NOW)
    assert not await stored(world)


class Counted(Removal):
    """Counts what it removed."""

    removed = 0

    async def __call__(self, now: datetime, limit: int, since: datetime = LONG_AGO) -> Batch | None:
        batch = await super().__call__(now, limit, since)
        self.removed += batch.removed if batch else 0
        return batch


async def test_two_at_once_remove_everything_once(world: World, dsn: str) -> None:
    await fill(world, MANY, step=SECOND)
    other = await Database.open(dsn, size=2, call_timeout=10.0)
    try:
        counted = [Counted(db, session_sql.REMOVE) for db in (world.database, other)]
        sweepers = [Sweeper((removal,)) for removal in counted]
        async with patience():
            while await stored(world):
                await asyncio.gather(*(sweep(NOW) for sweep in sweepers))
        assert sum(removal.removed for removal in counted) == MANY
    finally:
        await other.close()


async def test_a_sweep_that_is_cancelled_ends_at_once_and_can_be_taken_up(world: World) -> None:
    await fill(world, MANY, step=SECOND)
    in_the_midst = asyncio.Event()

    class Endless(Removal):
        async def __call__(self, now: datetime, limit: int, since: datetime = LONG_AGO) -> Batch:
            batch = await super().__call__(now, limit, since)
            assert batch is not None
            in_the_midst.set()
            return Batch(limit, batch.removed, batch.reached)  # as if there were always more

    running = asyncio.create_task(Sweeper((Endless(world.database, session_sql.REMOVE),))(NOW))
    async with patience():
        await in_the_midst.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with patience():
            await running
    async with patience():
        while await stored(world):
            await sweeper(world)(NOW)


async def test_a_look_back_that_takes_too_long_stops_nothing(world: World) -> None:
    """Where dead rows cannot be vacuumed, to begin at the oldest may take longer than calls may."""
    slow_from = False

    class Slow(Removal):
        async def __call__(
            self, now: datetime, limit: int, since: datetime = LONG_AGO
        ) -> Batch | None:
            if slow_from and since == LONG_AGO:
                raise store_unavailable()
            return await super().__call__(now, limit, since)

    await world.issue(world.session(absolute_expires_at=NOW))
    code_like = Counted(world.database, session_sql.REMOVE)
    sweep = Sweeper((Slow(world.database, session_sql.REMOVE), code_like))
    await sweep(NOW)
    slow_from = True
    later = NOW + WHOLE_TIME
    await world.issue(world.session(absolute_expires_at=later))
    with pytest.raises(TokenServiceError):
        await sweep(later)  # the look back
    assert code_like.removed == 1, "the next table was not kept waiting"
    await world.issue(world.session(absolute_expires_at=later))
    await sweep(later)
    assert not await stored(world)


# --- a store that goes away ---------------------------------------------------------------------


@pytest.fixture
def killable(open_dir: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(open_dir / f"removal-{uuid4().hex[:8]}") as server:
        yield server


async def test_it_goes_on_after_the_store_came_back(killable: EmbeddedPostgres) -> None:
    migrate(killable.dsn)
    database = await Database.open(killable.dsn, size=2, call_timeout=5.0)
    try:
        world = await make_world(database)
        await fill(world, MANY, step=SECOND)
        kept = await world.issue()
        sweep = sweeper(world)
        await world.sessions.removal(NOW, FIRST_BATCH)
        killable.crash()
        with pytest.raises(TokenServiceError) as refusal:
            await sweep(NOW)
        assert refusal.value.reason is Reason.STORE_UNAVAILABLE
        killable.start()
        async with patience():
            while True:
                try:
                    await sweep(NOW)
                except TokenServiceError:
                    await asyncio.sleep(0.05)
                else:
                    break
        assert await stored(world) == {kept.session_id}
    finally:
        await database.close()
