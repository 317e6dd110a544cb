"""The beat, a commit each second: what is told where none gets through."""

from collections.abc import AsyncIterator

import pytest
from structlog.testing import capture_logs

from tests.integration.postgres_world import World, holding, make_world
from tests.integration.trust.trust_sink import Sink, add, following
from token_service.adapters.postgres.pool import Database


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=6)
    yield await make_world(database)
    await database.close()


async def test_a_beat_that_does_not_end_is_reported_and_readings_go_on(world: World) -> None:
    sink = Sink()
    async with following(world, sink, poll_interval=0.05, timeout=0.2) as follower:
        await follower.refresh()
        with capture_logs() as logs:
            async with holding(world.database, "SELECT FROM trust_beat FOR UPDATE"):
                await sink.until(lambda: follower.late_beat)
                stuck = sink.readings[-1]
                await add(world, "a")
                await sink.until(lambda: sink.state.revision == 1)
                assert sink.readings[-1].beaten_boot <= stuck.beaten_boot
            await sink.until(lambda: not follower.late_beat)
    told = [line["event"] for line in logs if line["event"].startswith("trust_beat")]
    assert told == ["trust_beat_late", "trust_beat_back"]


async def test_why_no_beat_gets_through_is_told_in_words(world: World) -> None:
    await world.database.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = '53100'; END $$"
    )
    sink = Sink()
    async with following(world, sink, poll_interval=0.05) as follower:
        await follower.refresh()
        with capture_logs() as logs:
            await world.database.execute(
                "CREATE TRIGGER full_disk BEFORE UPDATE ON trust_beat EXECUTE FUNCTION full_disk()"
            )
            await sink.until(lambda: follower.late_beat)
    (line,) = (line for line in logs if line["event"] == "trust_beat_late")
    assert line["cause"] == "the server's disk is full (SQLSTATE 53100)"
