"""Revocations in a real database: what each kind changes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.integration.postgres_world import (
    NOW,
    PHONE,
    REISSUE,
    World,
    add_client,
    add_user,
    audited,
    entries,
    make_world,
    revocation,
)
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust.revocation_sql import MOST_COUNTED
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.domain.kinds import KeyState, RevocationReason, TrustEntryKind
from token_service.domain.trust.revocation import Revoked

ALL = list(TrustEntryKind)[1:]


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=4)
    yield await make_world(database)
    await database.close()


async def test_a_revoked_session_is_dead_and_the_others_live(
    world: World, revocations: RevocationStore
) -> None:
    one, other = await world.issue(), await world.issue()

    revoked = await revocations.revoke(
        revocation(TrustEntryKind.SESSION, one.session_id, reason=RevocationReason.LOGOUT), NOW
    )

    assert revoked == Revoked(1, 1)
    assert await entries(world) == [(1, 2, str(one.session_id), "", 1, 1)]
    assert (await world.lives(one), await world.lives(other)) == (False, True)
    stored = await world.sessions.get(one.session_id)
    assert stored == replace(one, revoked_at=NOW, revoked_reason=RevocationReason.LOGOUT)
    assert await audited(world) == [f"revoke.SESSION {one.session_id}"]


async def test_a_session_is_revoked_once(world: World, revocations: RevocationStore) -> None:
    session = await world.issue()
    again = revocation(TrustEntryKind.SESSION, session.session_id)
    await revocations.revoke(again, NOW)
    await revocations.revoke(revocation(TrustEntryKind.TOKEN, "t"), NOW)

    assert await revocations.revoke(replace(again, reason=RevocationReason.LOGOUT), NOW) == Revoked(
        2
    )
    nothing = revocation(TrustEntryKind.SESSION, "no uuid")
    assert await revocations.revoke(nothing, NOW) == Revoked(2, 0)

    assert len(await entries(world)) == len(await audited(world)) == 2
    stored = await world.sessions.get(session.session_id)
    assert stored is not None
    assert stored.revoked_reason is RevocationReason.ADMINISTRATIVE


async def test_a_session_without_a_row_is_revoked_by_its_identity(
    world: World, revocations: RevocationStore
) -> None:
    """Its row was removed, or lost in a failover; access tokens that name it may live on."""
    lost = uuid4()

    assert await revocations.revoke(revocation(TrustEntryKind.SESSION, lost), NOW) == Revoked(1)

    assert await entries(world) == [
        (1, TrustEntryKind.SESSION, str(lost), "", 1, RevocationReason.ADMINISTRATIVE)
    ]
    assert await audited(world) == [f"revoke.SESSION {lost}"]


async def test_a_session_that_had_expired_is_revoked_but_not_counted(
    world: World, revocations: RevocationStore
) -> None:
    session = await world.issue()

    revoked = await revocations.revoke(
        revocation(TrustEntryKind.SESSION, session.session_id), NOW + timedelta(days=2)
    )

    assert revoked == Revoked(1, 0)
    assert not await world.lives(session)


async def test_a_revoked_subject_loses_every_session_issued_before(
    world: World, revocations: RevocationStore
) -> None:
    before = [await world.issue() for _ in range(3)]
    own = await world.issue(world.own_session())
    await add_user(world, other_user := uuid4())
    other = await world.issue(world.session(user_id=other_user))

    revoked = await revocations.revoke(revocation(TrustEntryKind.SUBJECT, world.user_id), NOW)
    after = await world.issue()

    assert revoked == Revoked(1, 3)
    assert [await world.lives(session) for session in (*before, own, other, after)] == [
        *[False] * 3,
        True,
        True,
        True,
    ]
    assert (await revocations.revoke(revocation(TrustEntryKind.SUBJECT, world.user_id), NOW)) == (
        Revoked(2, 1)
    )


async def test_a_subject_is_revoked_however_many_sessions_it_has(
    world: World, revocations: RevocationStore
) -> None:
    """They are counted up to a bound: counting a million takes longer than a statement may."""
    one = await world.issue()
    columns = await world.value(
        """SELECT string_agg(column_name, ', ') FROM information_schema.columns
           WHERE table_name = 'sessions' AND column_name NOT IN ('session_id', 'lookup_id')"""
    )
    await world.database.execute(
        f"""INSERT INTO sessions (session_id, lookup_id, {columns})
            SELECT gen_random_uuid(), gen_random_uuid(), {columns}
            FROM sessions, generate_series(1, {MOST_COUNTED})"""  # noqa: S608 - names of columns
    )
    change = revocation(TrustEntryKind.SUBJECT, one.subject)
    assert await revocations.revoke(change, NOW) == Revoked(1, MOST_COUNTED)
    assert await revocations.revoke(change, NOW) == Revoked(2, 0)


async def test_a_client_as_subject_loses_its_own_sessions_only(
    world: World, revocations: RevocationStore
) -> None:
    users, own = await world.issue(), await world.issue(world.own_session())

    revoked = await revocations.revoke(revocation(TrustEntryKind.SUBJECT, "shop"), NOW)
    after = await world.issue(world.own_session())

    assert revoked == Revoked(1, 1)
    assert [await world.lives(session) for session in (users, own, after)] == [True, False, True]


async def test_a_client_named_like_a_user_is_revoked_with_it(
    world: World, revocations: RevocationStore
) -> None:
    await add_client(world, str(world.user_id))
    own = await world.issue(world.own_session(client_id=str(world.user_id)))
    session = await world.issue()

    await revocations.revoke(revocation(TrustEntryKind.SUBJECT, world.user_id), NOW)

    assert not await world.lives(own)
    assert not await world.lives(session)


@pytest.mark.parametrize("own", [False, True])
async def test_a_revoked_device_loses_its_sessions_only(
    world: World, revocations: RevocationStore, own: bool
) -> None:
    make = world.own_session if own else world.session
    lost = await world.issue(make())
    kept = await world.issue(make(device=replace(PHONE, device_id="tablet")))
    strange = await world.issue(world.session() if own else world.own_session())
    change = revocation(TrustEntryKind.SUBJECT_DEVICE, lost.subject, device_id=PHONE.device_id)

    assert await revocations.revoke(change, NOW) == Revoked(1, 1)
    after = await world.issue(make())

    assert await entries(world) == [(1, 4, lost.subject, PHONE.device_id, 1, 4)]
    sessions = (lost, kept, strange, after)
    assert [await world.lives(session) for session in sessions] == [False, True, True, True]
    assert await revocations.revoke(change, NOW) == Revoked(2, 1)
    assert not await world.lives(after)


async def test_a_revoked_client_loses_all_sessions(
    world: World, revocations: RevocationStore
) -> None:
    await add_client(world, "other")
    users, own = await world.issue(), await world.issue(world.own_session())
    others = await world.issue(world.session(client_id="other"))

    assert await revocations.revoke(revocation(TrustEntryKind.CLIENT, "shop"), NOW) == Revoked(1)

    assert [await world.lives(session) for session in (users, own, others)] == [False, False, True]


async def test_everything_is_everything_before(world: World, revocations: RevocationStore) -> None:
    before = await world.issue()
    batch = [
        revocation(TrustEntryKind.TOKEN, "a"),
        revocation(TrustEntryKind.EVERYTHING),
        revocation(TrustEntryKind.TOKEN, "b"),
    ]

    revoked = await asyncio.gather(*(revocations.revoke(one, NOW) for one in batch))

    assert [one.revision for one in revoked] == [1, 2, 3]
    assert await world.value("SELECT valid_rev FROM trust_head") == 2
    assert not await world.lives(before)
    assert await world.lives(await world.issue())


async def test_a_compromised_key_takes_its_sessions_with_it(
    world: World, revocations: RevocationStore
) -> None:
    session = await world.issue()
    change = revocation(TrustEntryKind.KEY, world.mint_kid)

    assert await revocations.revoke(change, NOW) == Revoked(1)
    assert await revocations.revoke(change, NOW) == Revoked(1)
    assert await revocations.revoke(revocation(TrustEntryKind.KEY, "ffffffff"), NOW) == Revoked(1)

    row = await world.database.fetchrow("SELECT state, compromised_at FROM keys")
    assert row is not None
    assert tuple(row) == (KeyState.COMPROMISED, NOW)
    assert await world.value("SELECT keys_version FROM trust_head") == 1
    assert await entries(world) == [(1, 6, world.mint_kid, "", 1, 4)]
    assert not await world.lives(session)


@pytest.mark.parametrize("kind", ALL)
async def test_a_reissue_leaves_every_session_alive(
    world: World, revocations: RevocationStore, kind: TrustEntryKind
) -> None:
    session = await world.issue()
    target = {
        TrustEntryKind.SESSION: str(session.session_id),
        TrustEntryKind.CLIENT: "shop",
        TrustEntryKind.KEY: world.mint_kid,
        TrustEntryKind.EVERYTHING: "",
    }.get(kind, str(world.user_id))
    device_id = PHONE.device_id if kind is TrustEntryKind.SUBJECT_DEVICE else ""

    revoked = await revocations.revoke(
        revocation(kind, target, effect=REISSUE, device_id=device_id), NOW
    )

    assert revoked == Revoked(1)
    assert await entries(world) == [(1, kind, target, device_id, 2, 4)]
    assert await world.lives(session)


async def test_an_entry_is_kept_while_a_token_it_kills_may_live(
    world: World, revocations: RevocationStore
) -> None:
    await world.database.execute("UPDATE trust_head SET longest_access = '2 hours'")

    await revocations.revoke(revocation(TrustEntryKind.TOKEN, "t"), NOW)

    keep_until = await world.value("SELECT keep_until FROM trust_log")
    assert keep_until == NOW + timedelta(hours=2, seconds=60)
