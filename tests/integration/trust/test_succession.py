"""Another server succeeds the one that a log was written on. One server plays both here: what is
recorded of the last one is changed, for what a server says of itself cannot be."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from tests.integration.postgres_world import (
    NOW,
    World,
    advance_of,
    event,
    make_world,
    revocation,
)
from tests.integration.trust.trust_sink import Sink, add, add_silently, following
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust.follower import TrustFollower
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.adapters.postgres.users.store import UserStore
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import TrustEntryKind
from token_service.domain.sessions.session import Session
from token_service.domain.trust.succession import JUMP

NEVER = 3600.0
PROMOTED = "UPDATE trust_head SET timeline = timeline - 1"
"""As a promoted standby has it: it writes a later timeline than the one that was recorded."""
SYNCHRONOUS = "UPDATE trust_beat SET synchronous = true"
UNREADABLE = """CREATE OR REPLACE FUNCTION trust_timeline() RETURNS bigint LANGUAGE sql
                RETURN NULL::bigint"""
AUDITED = "SELECT action FROM audit_log WHERE action LIKE 'trust.%' ORDER BY id"


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=6)
    yield await make_world(database)
    await database.close()


@asynccontextmanager
async def node(
    world: World, sink: Sink, *, follows: bool = False, **options: float
) -> AsyncIterator[TrustFollower]:
    """A node that has read the log; `follows` has the stores of `world` go by it."""
    given = {"poll_interval": NEVER, "grace": NEVER} | options
    async with following(world, sink, **given) as follower:
        await follower.refresh()
        if follows:
            world.database.fencing.follow(lambda: sink.state.epoch, follower.refresh)
        yield follower


async def audited(world: World) -> list[str]:
    return [row["action"] for row in await world.database.fetch(AUDITED)]


async def test_sessions_live_on_where_nothing_is_missing(world: World) -> None:
    sink = Sink()
    revision = await add(world, "a", bump_config=True)
    session = await world.sessions.insert(
        kept := world.session(), world.guard(config_version=1), event("issue")
    )
    assert session is not None
    async with node(world, sink) as follower:
        before = sink.state.epoch
        for change in (PROMOTED, SYNCHRONOUS):
            await world.database.execute(change)
        with capture_logs() as logs:
            await follower.refresh()

        reading = sink.readings[-1]
        assert sink.state.epoch == reading.epoch != before
        assert reading.revision == revision + JUMP
        assert (reading.config_version, reading.keys_version) == (1 + JUMP, 1 + JUMP)
        assert reading.server == reading.recorded
        # What was revoked before is part of the new log too, under its old number.
        assert [entry.revision for entry in sink.state.live_entries()] == [revision]
    assert await world.lives(kept)
    assert await audited(world) == ["trust.succeed"]
    assert "trust_log_succeeded" in {line["event"] for line in logs}
    ended = await world.database.fetchrow("SELECT * FROM trust_successions")
    assert ended is not None
    assert (ended["epoch"], ended["revision"], ended["fenced"]) == (UUID(before), revision, False)


@pytest.mark.parametrize(
    "changes",
    [
        [PROMOTED],
        [SYNCHRONOUS, "UPDATE trust_head SET timeline = timeline + 1"],
        [SYNCHRONOUS, "UPDATE trust_head SET system_identifier = 1"],
        [SYNCHRONOUS, PROMOTED, "UPDATE trust_beat SET beat = beat - 1"],
        [SYNCHRONOUS, PROMOTED, "UPDATE trust_head SET revision = 0"],
        ["UPDATE trust_beat SET beat = beat - 1"],
        [SYNCHRONOUS, PROMOTED, UNREADABLE],
    ],
    ids=["asynchronous", "earlier", "another-system", "beat", "revision", "snapshot", "unreadable"],
)
async def test_everyone_logs_in_again_where_something_may_be(
    world: World, changes: list[str]
) -> None:
    """And of two nodes one does it."""
    sinks = [Sink(), Sink()]
    await add(world, "a")
    session = await world.issue()
    async with node(world, sinks[0]) as one, node(world, sinks[1]) as other:
        await asyncio.gather(one.refresh(), other.refresh())
        for change in changes:
            await world.database.execute(change)
        await asyncio.gather(one.refresh(), other.refresh())
        await asyncio.gather(one.refresh(), other.refresh())

    assert {sink.state.epoch for sink in sinks} == {
        str(await world.value("SELECT epoch FROM trust_head"))
    }
    assert not await world.lives(session)
    assert await audited(world) == ["trust.fence"]
    assert sinks[0].state.revision > JUMP


async def test_a_node_that_knew_more_than_who_was_first_fences_what_that_one_began(
    world: World,
) -> None:
    """The end of the log is lost, and the node that saw it looks last."""
    ignorant, witness = Sink(), Sink()
    session = await world.issue()
    async with node(world, ignorant) as first, node(world, witness) as second:
        await add_silently(world, "lost")
        await second.refresh()
        assert (ignorant.state.revision, witness.state.revision) == (0, 1)
        for change in (
            "UPDATE trust_head SET revision = 0",
            "DELETE FROM trust_log",
            PROMOTED,
            SYNCHRONOUS,
        ):
            await world.database.execute(change)
        await first.refresh()
        await second.refresh()
        await first.refresh()
        assert ignorant.state.epoch == witness.state.epoch
    assert await audited(world) == ["trust.succeed", "trust.fence"]
    assert not await world.lives(session)


async def test_what_was_acknowledged_and_not_read_yet_is_remembered(world: World) -> None:
    sink = Sink()
    async with node(world, sink) as follower:
        sink.acknowledged = 1
        await follower.refresh()
    assert await audited(world) == ["trust.fence"]


@pytest.mark.parametrize("grace", [0.0, NEVER])
async def test_a_node_that_was_just_started_leaves_it_to_one_that_lived_through_it(
    world: World, grace: float
) -> None:
    await add(world, "a")
    session, sink = await world.issue(), Sink()
    async with node(world, Sink()) as witness:
        for change in (PROMOTED, SYNCHRONOUS):
            await world.database.execute(change)
        async with following(world, sink, poll_interval=NEVER, grace=grace) as started:
            reading = asyncio.create_task(started.reading())
            if grace:
                await witness.refresh()
            await reading
    assert await world.lives(session) is bool(grace)
    assert await audited(world) == ["trust.succeed" if grace else "trust.fence"]


async def test_a_database_of_the_former_version_is_recorded_and_nobody_logs_in_again(
    world: World,
) -> None:
    session, sink = await world.issue(), Sink()
    assert await world.value("SELECT timeline FROM trust_head") is None
    async with node(world, sink):
        pass
    head = await world.database.fetchrow("SELECT * FROM trust_head")
    assert head is not None
    assert head["timeline"] == await world.value("SELECT trust_timeline()")
    assert head["system_identifier"] == await world.value("SELECT trust_system_identifier()")
    assert str(head["epoch"]) == sink.state.epoch
    assert await world.lives(session)
    assert await audited(world) == []


async def issue(world: World, session: Session) -> object:
    del session
    return await world.sessions.insert(world.session(), world.guard(), event("issue"))


async def advance(world: World, session: Session) -> object:
    return await world.sessions.advance(advance_of(session), event("exchange"))


async def revoke(world: World, session: Session) -> object:
    store = RevocationStore(world.database)
    asked = revocation(TrustEntryKind.SESSION, session.session_id)
    try:
        return (await store.revoke(asked, NOW)).revision
    finally:
        await store.close()


async def append(world: World, session: Session) -> object:
    del session
    return await add(world, "x")


WRITES: list[Callable[[World, Session], Awaitable[object]]] = [issue, advance, revoke, append]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("change", [PROMOTED, "UPDATE trust_head SET epoch = gen_random_uuid()"])
async def test_nothing_is_decided_on_a_server_that_was_not_looked_at(
    world: World, write: Callable[[World, Session], Awaitable[object]], change: str
) -> None:
    """Nor by a log that the node does not follow; what only appends is right in any log."""
    session, sink = await world.issue(), Sink()
    moved: list[str] = []

    async def renew() -> None:
        moved.append("asked")
        raise TokenServiceError(Reason.STORE_UNAVAILABLE, "not now")

    async with node(world, sink):
        world.database.fencing.follow(lambda: sink.state.epoch, renew)
        before = await world.database.fetchrow("SELECT count(*), sum(generation) FROM sessions")
        await world.database.execute(change)
        if change == PROMOTED or write in (issue, advance):
            with pytest.raises(TokenServiceError) as refusal:
                await write(world, session)
            assert refusal.value.reason is Reason.STORE_UNAVAILABLE
            assert await world.value("SELECT revision FROM trust_head") == 0
            assert await world.lives(session)
            after = await world.database.fetchrow("SELECT count(*), sum(generation) FROM sessions")
            assert after == before
        else:
            assert await write(world, session) == 1


async def disable(world: World, session: Session) -> object:
    del session
    return await UserStore(world.database).set_enabled(world.user_id, False, event("disable"))


@pytest.mark.parametrize("write", [revoke, disable])
async def test_what_was_to_be_appended_is_once_the_server_was_looked_at(
    world: World, write: Callable[[World, Session], Awaitable[object]]
) -> None:
    session, sink = await world.issue(), Sink()
    async with node(world, sink, follows=True):
        for change in (PROMOTED, SYNCHRONOUS):
            await world.database.execute(change)
        assert await write(world, session) == JUMP + 1
    assert await audited(world) == ["trust.succeed"]
    assert not await world.lives(session)


async def test_a_beat_is_never_younger_than_it_was_whatever_the_clock_says(world: World) -> None:
    """The primary's clock is set back, and no beat gets through."""
    sink = Sink()
    async with node(world, sink) as follower:
        first = sink.readings[-1].beaten_boot
        await world.database.execute(
            "UPDATE trust_beat SET beaten_at = clock_timestamp() + interval '1 hour'"
        )
        await follower.refresh()
        assert sink.readings[-1].beaten_boot <= first


async def test_nodes_share_their_beats(world: World) -> None:
    sinks = [Sink() for _ in range(4)]
    async with AsyncExitStack() as stack:
        for sink in sinks:
            await stack.enter_async_context(following(world, sink, poll_interval=0.2))
        beats = "SELECT beat FROM trust_beat"
        before = await world.value(beats)
        began = time.monotonic()
        await sinks[0].until(lambda: time.monotonic() - began > 1.0)
        made = await world.value(beats) - before
        elapsed = time.monotonic() - began
    # At most one each half poll, however many read.
    assert 0 < made <= elapsed / 0.1 + 1
