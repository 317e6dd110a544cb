"""A database that came back from a backup: its log is behind what was acknowledged."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from tests.integration.postgres_world import World, event, make_world
from tests.integration.trust.trust_sink import Sink, add, following
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust import epochs
from token_service.domain.kinds import TrustEffect, TrustEntryKind
from token_service.domain.trust.succession import JUMP


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=4)
    yield await make_world(database)
    await database.close()


async def restore(world: World) -> None:
    """Bring the log back to revision 1, as a backup would."""
    await world.database.execute("UPDATE trust_head SET revision = 1")
    await world.database.execute("DELETE FROM trust_log WHERE revision > 1")


async def test_a_restored_log_is_fenced_and_everyone_logs_in_again(world: World) -> None:
    sinks = [Sink(), Sink()]
    await add(world, "a")
    session = await world.issue()
    async with (
        following(world, sinks[0], poll_interval=0.02) as one,
        following(world, sinks[1], poll_interval=0.02) as other,
    ):
        await add(world, "b", "c")
        for follower in (one, other):
            await follower.refresh()
        before = sinks[0].state.epoch
        await restore(world)
        for sink in sinks:
            await sink.until(lambda: sink.state.epoch != before)  # noqa: B023

    head = await world.database.fetchrow("SELECT * FROM trust_head")
    assert head is not None
    assert head["revision"] == head["valid_rev"] == 3 + JUMP + 1
    assert head["config_version"] == head["keys_version"] == head["revision"] - 1
    for sink in sinks:
        assert sink.state.epoch == str(head["epoch"])
        assert sink.state.revision == head["revision"]
        assert sink.readings[-1].valid_rev == head["revision"]
        fence = sink.state.live_entries()[-1]
        assert (fence.kind, fence.effect) == (TrustEntryKind.EVERYTHING, TrustEffect.REVOKE)
    assert not await world.lives(session)
    again = world.session()
    guard = world.guard(config_version=head["config_version"])
    assert await world.sessions.insert(again, guard, event("issue")) is not None
    assert await world.lives(again)
    audited = await world.database.fetch("SELECT * FROM audit_log WHERE action = 'trust.fence'")
    assert [(row["target"], row["actor"]) for row in audited] == [(before, "trust-follower")]


async def test_a_fence_by_hand_needs_no_node_that_remembers(world: World) -> None:
    await add(world, "a", "b")
    async with world.database.transaction() as conn:
        revision = await epochs.fence(conn, min_revision=500, audit=event("trust.fence"))

    assert revision == 500 + JUMP + 1
    # Nor are versions given out again that nodes may have seen beside that revision.
    lowest = await world.value("SELECT LEAST(config_version, keys_version) FROM trust_head")
    assert lowest == 500 + JUMP
    assert await world.value("SELECT valid_rev FROM trust_head") == revision
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'trust.fence'") == 1


async def test_a_fence_against_a_log_that_is_another_by_now_changes_nothing(world: World) -> None:
    await add(world, "a", "b")
    before = await world.database.fetchrow("SELECT * FROM trust_head")

    async with world.database.transaction() as conn:
        audit = event("trust.fence")
        done = await epochs.fence(conn, min_revision=9, audit=audit, only_epoch=UUID(int=0))
        assert done is None

    assert await world.database.fetchrow("SELECT * FROM trust_head") == before
    assert await world.value("SELECT count(*) FROM audit_log") == 0
