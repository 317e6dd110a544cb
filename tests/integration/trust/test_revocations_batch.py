"""Revocations that arrive together: one transaction, and an answer for everyone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.integration.postgres_world import (
    NOW,
    World,
    audited,
    entries,
    event,
    holding,
    make_world,
    revocation,
    until_blocked,
)
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.domain import deadline
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import TrustEntryKind
from token_service.domain.trust.revocation import Revoked

ALL = list(TrustEntryKind)[1:]


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=4, call_timeout=30)  # a deadlock takes its time
    yield await make_world(database)
    await database.close()


async def test_concurrent_revocations_share_transactions(
    world: World, revocations: RevocationStore
) -> None:
    sessions = [await world.issue() for _ in range(50)]
    before = await world.value("SELECT pg_current_xact_id()::text::bigint")

    revoked = await asyncio.gather(
        *(
            revocations.revoke(revocation(TrustEntryKind.SESSION, session.session_id), NOW)
            for session in sessions
        )
    )

    after = await world.value("SELECT pg_current_xact_id()::text::bigint")
    assert sorted(one.revision for one in revoked) == list(range(1, 51))
    assert len(await audited(world)) == 50
    # One to start with, and one for what arrived meanwhile; the second reading is one as well.
    assert after - before <= 3


async def test_a_batch_is_bounded(world: World) -> None:
    store = RevocationStore(world.database, max_batch=10)
    before = await world.value("SELECT pg_current_xact_id()::text::bigint")

    await asyncio.gather(
        *(store.revoke(revocation(TrustEntryKind.TOKEN, f"t{n}"), NOW) for n in range(40))
    )

    after = await world.value("SELECT pg_current_xact_id()::text::bigint")
    assert 4 <= after - before - 1 <= 5


async def test_equal_requests_are_merged_and_each_answered(
    world: World, revocations: RevocationStore
) -> None:
    session = await world.issue()
    of_session = revocation(TrustEntryKind.SESSION, session.session_id)
    of_subject = revocation(TrustEntryKind.SUBJECT, world.user_id)

    await asyncio.gather(*(revocations.revoke(of_subject, NOW) for _ in range(5)))
    revived = await world.issue()
    revoked = await asyncio.gather(
        *(revocations.revoke(of_session, NOW) for _ in range(5)),
        *(revocations.revoke(of_subject, NOW) for _ in range(5)),
    )

    assert len({one.revision for one in revoked[:5]}) == 1
    assert len({one.revision for one in revoked[5:]}) == 1
    assert sorted(one.sessions for one in revoked) == [*[0] * 9, 1]
    # A session is revoked once; that somebody asked for a subject is on record each time.
    assert len(await audited(world)) == 11
    assert len(await entries(world)) <= 4
    assert not await world.lives(revived)


async def test_one_bad_request_does_not_fail_the_others(
    world: World, revocations: RevocationStore
) -> None:
    session = await world.issue()
    bad = revocation(TrustEntryKind.TOKEN, "t", audit=event("revoke.\x00"))

    outcomes = await asyncio.gather(
        revocations.revoke(revocation(TrustEntryKind.TOKEN, "first"), NOW),
        revocations.revoke(bad, NOW),
        revocations.revoke(revocation(TrustEntryKind.SESSION, session.session_id), NOW),
        return_exceptions=True,
    )

    assert [isinstance(outcome, Revoked) for outcome in outcomes] == [True, False, True]
    assert not await world.lives(session)
    assert [entry[2] for entry in await entries(world)] == ["first", str(session.session_id)]


async def test_what_no_validator_could_honour_is_refused_at_once(
    world: World, revocations: RevocationStore
) -> None:
    for bad in (
        revocation(TrustEntryKind.SUBJECT_DEVICE, world.user_id),
        revocation(TrustEntryKind.SESSION, ""),
        revocation(TrustEntryKind.EVERYTHING, "x"),
        revocation(TrustEntryKind.UNSPECIFIED, "x"),
    ):
        with pytest.raises(ValueError, match="trust entry"):
            await revocations.revoke(bad, NOW)

    assert await entries(world) == []


async def test_a_caller_who_goes_away_stops_nothing(
    world: World, revocations: RevocationStore
) -> None:
    sessions = [await world.issue() for _ in range(3)]
    asked = [
        asyncio.create_task(
            revocations.revoke(revocation(TrustEntryKind.SESSION, session.session_id), NOW)
        )
        for session in sessions
    ]
    await asyncio.sleep(0)
    asked[1].cancel()

    first, _, last = await asyncio.gather(*asked, return_exceptions=True)

    assert isinstance(first, Revoked)
    assert isinstance(last, Revoked)
    assert asked[1].cancelled()
    assert [await world.lives(session) for session in sessions] == [False] * 3


async def test_nobodys_deadline_is_anothers(world: World, revocations: RevocationStore) -> None:
    async def in_a_hurry() -> Revoked:
        with deadline.until(0.0):
            return await revocations.revoke(revocation(TrustEntryKind.TOKEN, "hurry"), NOW)

    hurried, calm = await asyncio.gather(
        in_a_hurry(),
        revocations.revoke(revocation(TrustEntryKind.TOKEN, "calm"), NOW),
        return_exceptions=True,
    )

    assert isinstance(hurried, TokenServiceError)
    assert hurried.reason is Reason.STORE_UNAVAILABLE
    assert isinstance(calm, Revoked)
    assert [entry[2] for entry in await entries(world)] == ["hurry", "calm"]


async def test_revocations_of_all_nodes_get_gap_free_revisions(world: World, dsn: str) -> None:
    sessions = [await world.issue() for _ in range(40)]
    targets = [revocation(TrustEntryKind.SESSION, one.session_id) for one in sessions]
    targets += [revocation(TrustEntryKind.SUBJECT, world.user_id)] * 2
    targets += [revocation(TrustEntryKind.CLIENT, "shop")] * 2
    orders = [targets, targets[::-1], targets[20:] + targets[:20], targets[::3] + targets[::2]]

    async with AsyncExitStack() as stack:
        nodes = []
        for _ in orders:
            database = await Database.open(dsn, size=2, call_timeout=30)
            stack.push_async_callback(database.close)
            nodes.append(RevocationStore(database))
        answers = await asyncio.gather(
            *(
                node.revoke(target, NOW)
                for node, order in zip(nodes, orders, strict=True)
                for target in order
            )
        )

    revisions = [entry[0] for entry in await entries(world)]
    head = await world.value("SELECT revision FROM trust_head")
    assert revisions == list(range(1, head + 1))
    assert max(answer.revision for answer in answers) == head
    assert await world.value("SELECT count(*) FROM trust_log WHERE kind = 2") == 40


async def test_a_deadlock_is_retried(world: World, revocations: RevocationStore) -> None:
    """Someone takes the head first and a session after, against the order, and does not yield."""
    session = await world.issue()
    asked = revocation(TrustEntryKind.SESSION, session.session_id)
    async with holding(world.database, "SELECT 1 FROM trust_head FOR UPDATE") as other:
        await other.execute("SET LOCAL deadlock_timeout = '1min'")
        revoke = asyncio.create_task(revocations.revoke(asked, NOW))
        await until_blocked(world.database)
        await other.execute("UPDATE sessions SET device_name = 'seen'")

    assert await revoke == Revoked(1, 1)
    assert not await world.lives(session)
    assert len(await entries(world)) == len(await audited(world)) == 1


async def test_closing_finishes_what_was_asked_for(world: World) -> None:
    store = RevocationStore(world.database, max_batch=2)
    asked = [
        asyncio.create_task(store.revoke(revocation(TrustEntryKind.TOKEN, f"t{n}"), NOW))
        for n in range(7)
    ]
    await asyncio.sleep(0)

    await store.close()

    assert all(task.done() for task in asked)
    assert len(await entries(world)) == 7


async def test_a_server_that_cannot_be_reached_is_no_answer(world: World) -> None:
    store = RevocationStore(world.database)
    await world.database.close()

    outcomes = await asyncio.gather(
        *(store.revoke(revocation(TrustEntryKind.TOKEN, f"t{n}"), NOW) for n in range(3)),
        return_exceptions=True,
    )

    for outcome in outcomes:
        assert isinstance(outcome, TokenServiceError)
        assert outcome.reason is Reason.STORE_UNAVAILABLE
