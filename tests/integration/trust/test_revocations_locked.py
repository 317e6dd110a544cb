"""Revocations while somebody else holds rows: whose row is held waits, and the others do not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from uuid import UUID, uuid4

import pytest

from tests.integration.postgres_world import (
    NOW,
    PHONE,
    World,
    add_client,
    add_key,
    add_user,
    holding,
    make_world,
    revocation,
    until_blocked,
)
from tests.support.waiting import patience, until
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.domain import deadline
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import TrustEntryKind
from token_service.domain.sessions.session import Session
from token_service.domain.trust.revocation import Revocation

LOCKS = {
    TrustEntryKind.SESSION: "SELECT FROM sessions WHERE session_id::text = $1 FOR UPDATE",
    TrustEntryKind.SUBJECT: "SELECT FROM users WHERE user_id::text = $1 FOR UPDATE",
    TrustEntryKind.SUBJECT_DEVICE: "SELECT FROM revoked_devices WHERE subject = $1 FOR UPDATE",
    TrustEntryKind.CLIENT: "SELECT FROM clients WHERE client_id = $1 FOR UPDATE",
    TrustEntryKind.KEY: "SELECT FROM keys WHERE kid = $1 FOR UPDATE",
}
MANY = 30
"""More than a pool has connections."""


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=4)
    yield await make_world(database)
    await database.close()


@pytest.fixture
async def revocations(world: World) -> AsyncIterator[RevocationStore]:
    store = RevocationStore(world.database, max_descendants=2)
    yield store
    await store.close()


@pytest.fixture
async def elsewhere(dsn: str) -> AsyncIterator[Database]:
    """An administrator's connection."""
    database = await Database.open(dsn, size=2, call_timeout=60)
    yield database
    await database.close()


async def one_of_each(world: World, number: int) -> dict[TrustEntryKind, Revocation]:
    """What can be revoked, of a user, client and key of their own."""
    user_id, name = UUID(int=number), f"app-{number}"
    await add_user(world, user_id)
    await add_client(world, name)
    await add_key(world, name)
    one = world.session(client_id=name, user_id=user_id, mint_kid=name)
    session = await world.issue(one)
    return {
        TrustEntryKind.SESSION: revocation(TrustEntryKind.SESSION, session.session_id),
        TrustEntryKind.SUBJECT: revocation(TrustEntryKind.SUBJECT, user_id),
        TrustEntryKind.SUBJECT_DEVICE: revocation(
            TrustEntryKind.SUBJECT_DEVICE, user_id, device_id=PHONE.device_id
        ),
        TrustEntryKind.CLIENT: revocation(TrustEntryKind.CLIENT, name),
        TrustEntryKind.KEY: revocation(TrustEntryKind.KEY, name),
    }


async def entries_of(world: World, asked: Sequence[Revocation]) -> set[tuple[object, ...]]:
    rows = await world.database.fetch("SELECT DISTINCT kind, id FROM trust_log")
    return {tuple(row) for row in rows} & {(one.kind, one.id) for one in asked}


@pytest.mark.parametrize("kind", list(LOCKS))
async def test_a_locked_row_keeps_no_other_revocation_waiting(
    world: World, revocations: RevocationStore, elsewhere: Database, kind: TrustEntryKind
) -> None:
    wanted = (await one_of_each(world, 1))[kind]
    others = [one for number in range(2, 5) for one in (await one_of_each(world, number)).values()]
    if kind is TrustEntryKind.SUBJECT_DEVICE:
        await revocations.revoke(wanted, NOW)
    async with holding(elsewhere, LOCKS[kind], wanted.id), patience():
        waiting = asyncio.create_task(revocations.revoke(wanted, NOW))
        done = await asyncio.gather(*(revocations.revoke(one, NOW) for one in others))
        assert all(one.revision for one in done)
        assert len(await entries_of(world, others)) == len(others)
        assert not waiting.done()
    done_at_last = await waiting
    assert done_at_last.revision == await world.value("SELECT revision FROM trust_head")


async def test_a_row_that_stays_locked_is_refused_to_its_own_caller(
    world: World, revocations: RevocationStore, elsewhere: Database
) -> None:
    session = await world.issue()
    wanted = revocation(TrustEntryKind.SESSION, session.session_id)
    async with holding(elsewhere, LOCKS[TrustEntryKind.SESSION], wanted.id):
        with deadline.until(0.3), pytest.raises(TokenServiceError) as raised:
            await revocations.revoke(wanted, NOW)
    assert raised.value.reason is Reason.STORE_UNAVAILABLE
    assert await world.lives(session)
    assert (await revocations.revoke(wanted, NOW)).revision == 1


async def test_a_locked_descendant_keeps_no_other_waiting(
    world: World, revocations: RevocationStore, elsewhere: Database
) -> None:
    """What it lets in until it is revoked goes with it."""
    parent, other = await world.issue(), await world.issue()
    below = [
        await world.issue(world.session(parent_session_id=one.session_id, pairing_id=uuid4()))
        for one in (parent,) * 5 + (other,)
    ]
    asked = revocation(TrustEntryKind.SESSION, parent.session_id)
    stuck, *free = below
    async with holding(elsewhere, LOCKS[TrustEntryKind.SESSION], str(stuck.session_id)), patience():
        waiting = asyncio.create_task(revocations.revoke(asked, NOW))
        done = await revocations.revoke(revocation(TrustEntryKind.SESSION, other.session_id), NOW)
        assert done.sessions == 2
        await until(lambda: are_dead(world, free))
        late = await world.issue(
            world.session(parent_session_id=stuck.session_id, pairing_id=uuid4())
        )
        assert not waiting.done()
    assert (await waiting).sessions == 1 + 5 + 1
    assert not await world.lives(stuck)
    assert not await world.lives(late)


async def are_dead(world: World, sessions: Sequence[Session]) -> bool:
    revoked = "SELECT every(revoked_at IS NOT NULL) FROM sessions WHERE session_id = ANY ($1)"
    return bool(await world.value(revoked, [one.session_id for one in sessions]))


async def test_however_many_revocations_wait_for_the_head_they_take_one_connection(
    world: World, revocations: RevocationStore, elsewhere: Database
) -> None:
    asked = [revocation(TrustEntryKind.TOKEN, f"t{number}") for number in range(MANY)]
    session = await world.issue()
    async with holding(elsewhere, "SELECT FROM trust_head FOR UPDATE"), patience():
        waiting = [asyncio.create_task(revocations.revoke(one, NOW)) for one in asked]
        await until_blocked(elsewhere)
        for _ in range(MANY):
            assert await world.lives(session)
            await world.issue()
        blocked = """SELECT count(*) FROM pg_stat_activity
                     WHERE datname = current_database() AND wait_event_type = 'Lock'"""
        row = await elsewhere.fetchrow(blocked)
        assert row is not None
        assert row[0] == 1
        assert not any(one.done() for one in waiting)
    done = await asyncio.gather(*waiting)
    assert sorted(one.revision for one in done) == list(range(1, MANY + 1))
