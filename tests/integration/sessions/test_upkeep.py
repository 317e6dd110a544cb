"""Lists of sessions, recorded activity, and what is swept away."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from tests.integration.postgres_world import (
    NOW,
    World,
    add_client,
    add_user,
    advance_of,
    event,
    holding,
    make_world,
    revocation,
)
from tests.support.removing import removed
from tests.support.waiting import patience
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.removal import Removal
from token_service.adapters.postgres.trust import log as trust
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import TrustEntryKind

SECOND = timedelta(seconds=1)


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=4)
    yield await make_world(database)
    await database.close()


async def listed(world: World, subject: object, client_id: str | None = None) -> list[UUID]:
    page = await world.sessions.page(str(subject), client_id, 100, "", NOW)
    assert page.next_page_token == ""
    return [session.session_id for session in page.sessions]


# --- lists --------------------------------------------------------------------------------------


async def test_sessions_are_listed_newest_first_a_page_at_a_time(world: World) -> None:
    ages = [0, 1, 1, 1, 2, 3, 4]
    stored = [await world.issue(world.session(created_at=NOW - age * SECOND)) for age in ages]

    sizes: list[int] = []
    found = list(stored[:0])
    token = ""
    while token or not sizes:
        page = await world.sessions.page(str(world.user_id), None, 3, token, NOW)
        sizes.append(len(page.sessions))
        found.extend(page.sessions)
        token = page.next_page_token

    assert sizes == [3, 3, 1]
    assert [NOW - session.created_at for session in found] == [age * SECOND for age in ages]
    assert sorted(found, key=lambda s: s.session_id) == sorted(stored, key=lambda s: s.session_id)


async def test_a_page_that_is_just_full_is_the_last(world: World) -> None:
    for _ in range(3):
        await world.issue()

    page = await world.sessions.page(str(world.user_id), None, 3, "", NOW)

    assert (len(page.sessions), page.next_page_token) == (3, "")


@pytest.mark.parametrize(
    "token", ["x", "é", "AAAA", base64.urlsafe_b64encode(b"\x7f" + b"\xff" * 23).decode()]
)
async def test_a_page_token_of_something_else_is_refused(world: World, token: str) -> None:
    with pytest.raises(TokenServiceError) as refusal:
        await world.sessions.page(str(world.user_id), None, 3, token, NOW)

    assert (refusal.value.reason, refusal.value.field) == (Reason.FIELD_INVALID, "page_token")


async def test_a_list_holds_the_subjects_sessions_only(world: World) -> None:
    await add_client(world, "other")
    await add_user(world, stranger := uuid4())
    here, there = await world.issue(), await world.issue(world.session(client_id="other"))
    own = await world.issue(world.own_session())
    await world.issue(world.session(user_id=stranger))

    assert set(await listed(world, world.user_id)) == {here.session_id, there.session_id}
    assert await listed(world, world.user_id, "other") == [there.session_id]
    assert await listed(world, "shop") == [own.session_id]
    assert await listed(world, str(world.user_id).upper()) == []
    assert await listed(world, "nobody") == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sessions SET revoked_at = '2026-11-22Z'",
        "UPDATE sessions SET idle_expires_at = '2026-11-22 12:00:00.123456Z'",
        "UPDATE sessions SET absolute_expires_at = '2026-11-22 12:00:00.123456Z'",
        "UPDATE trust_head SET valid_rev = 1",
        "UPDATE clients SET valid_rev = 1",
        "UPDATE clients SET state = 5",
        "UPDATE users SET valid_rev = 1",
        "UPDATE users SET disabled_at = '2026-11-22Z'",
        "DELETE FROM users",
        "UPDATE keys SET state = 5",
        "DELETE FROM keys",
        """INSERT INTO revoked_devices
           SELECT user_id::text, device_id, 1, '2026-11-22Z' FROM sessions""",
    ],
)
async def test_the_dead_are_not_listed_nor_revived_by_activity(world: World, change: str) -> None:
    session = await world.issue()
    await world.database.execute(change)
    before = await world.sessions.get(session.session_id)

    assert await listed(world, world.user_id) == []
    seen = [(session.session_id, NOW + SECOND)]
    assert (await world.sessions.record_activity(seen, NOW + 2 * SECOND)).changed == 0
    assert await world.sessions.get(session.session_id) == before


# --- activity -----------------------------------------------------------------------------------


async def test_activity_pushes_the_idle_deadline(world: World) -> None:
    sessions = [await world.issue() for _ in range(3)]
    seen = [(session.session_id, NOW + n * SECOND) for n, session in enumerate(sessions, 1)]

    assert (await world.sessions.record_activity(seen, NOW + 10 * SECOND)).changed == 3

    for session, (_, at) in zip(sessions, seen, strict=True):
        assert await world.sessions.get(session.session_id) == replace(
            session, last_active_at=at, idle_expires_at=at + timedelta(hours=1)
        )


async def test_activity_is_clamped_to_now_and_to_the_absolute_expiry(world: World) -> None:
    ends = NOW + timedelta(minutes=61)
    session = await world.issue(world.session(absolute_expires_at=ends))
    now = NOW + timedelta(minutes=30)

    seen = [(session.session_id, NOW + timedelta(days=9)), (session.session_id, NOW)]
    assert (await world.sessions.record_activity(seen, now)).changed == 1

    assert await world.sessions.get(session.session_id) == replace(
        session, last_active_at=now, idle_expires_at=ends
    )


async def test_activity_never_pulls_a_deadline_back(world: World) -> None:
    session = await world.issue(world.session(idle_seconds=60))
    seen = [(session.session_id, NOW + SECOND), (session.session_id, NOW - SECOND), (uuid4(), NOW)]

    assert (await world.sessions.record_activity(seen, NOW + SECOND)).changed == 1
    assert (await world.sessions.record_activity(seen, NOW + SECOND)).changed == 0
    assert (await world.sessions.record_activity([], NOW)).changed == 0

    assert await world.sessions.get(session.session_id) == replace(
        session, last_active_at=NOW + SECOND
    )


async def test_reported_activity_counts_for_the_callers_audiences(world: World) -> None:
    session = await world.issue()
    seen = [(session.session_id, NOW + SECOND)]

    assert (await world.sessions.record_activity(seen, NOW + SECOND, ["billing"])).changed == 0
    assert (await world.sessions.record_activity(seen, NOW + SECOND, ())).changed == 0
    assert (
        await world.sessions.record_activity(seen, NOW + SECOND, ["billing", "orders"])
    ).changed == 1


async def test_activity_waits_for_no_one(world: World) -> None:
    busy, idle = await world.issue(), await world.issue()
    seen = [(session.session_id, NOW + SECOND) for session in (busy, idle)]
    lock = "SELECT 1 FROM sessions WHERE session_id = $1 FOR UPDATE"

    async with holding(world.database, lock, busy.session_id), patience():
        assert (await world.sessions.record_activity(seen, NOW + SECOND)).changed == 1

    assert (await world.sessions.record_activity(seen, NOW + SECOND)).changed == 1


async def test_an_exchange_after_later_activity_keeps_it(world: World) -> None:
    session = await world.issue()
    seen = [(session.session_id, NOW + 5 * SECOND)]
    await world.sessions.record_activity(seen, NOW + 5 * SECOND)

    await world.sessions.advance(advance_of(session, at=NOW + SECOND), event("exchange"))
    stored = await world.sessions.get(session.session_id)

    assert stored is not None
    assert stored.last_active_at == NOW + 5 * SECOND


# --- upkeep -------------------------------------------------------------------------------------


async def test_sessions_past_their_absolute_expiry_are_swept(world: World) -> None:
    ended = [await world.issue(world.session(absolute_expires_at=NOW)) for _ in range(3)]
    kept = await world.issue(world.session(absolute_expires_at=NOW + SECOND))

    assert [await removed(world.sessions.removal, NOW, 2) for _ in range(3)] == [2, 1, 0]

    assert await world.sessions.get(kept.session_id) == kept
    assert [await world.sessions.view(session.lookup_id) for session in ended] == [None] * 3


@pytest.mark.parametrize("own", [False, True])
async def test_a_revoked_device_is_kept_while_it_kills_a_session(world: World, own: bool) -> None:
    make = world.own_session if own else world.session
    session = await world.issue(make(absolute_expires_at=NOW + timedelta(days=30)))
    store = RevocationStore(world.database)
    for device_id in (session.device.device_id, "another"):
        target = revocation(TrustEntryKind.SUBJECT_DEVICE, session.subject, device_id=device_id)
        await store.revoke(target, NOW)
    await world.issue(make(device=replace(session.device, device_id="another")))
    devices = "SELECT array_agg(device_id ORDER BY device_id) FROM revoked_devices"

    # Just after the revocation an insert may still be under way.
    await world.sessions.forget_devices(NOW + timedelta(hours=1))
    assert len(await world.value(devices)) == 2
    await removed(world.sessions.removal, NOW + timedelta(days=2))
    await world.sessions.forget_devices(NOW + timedelta(days=2))
    assert await world.value(devices) == [session.device.device_id]
    assert not await world.lives(session)
    await removed(world.sessions.removal, NOW + timedelta(days=31))
    await world.sessions.forget_devices(NOW + timedelta(days=31))
    assert await world.value(devices) is None


async def test_entries_that_can_kill_nothing_any_more_are_pruned(world: World) -> None:
    store = RevocationStore(world.database)
    for minute in range(4):
        target = revocation(TrustEntryKind.TOKEN, f"t{minute}")
        await store.revoke(target, NOW + timedelta(minutes=minute))
    kept_for = timedelta(minutes=6)  # five minutes of access lifetime, and one more

    prune = Removal(world.database, trust.REMOVE)

    assert await removed(prune, NOW + kept_for - SECOND) == 0
    last = NOW + timedelta(minutes=3) + kept_for - SECOND
    assert [await removed(prune, last, 2) for _ in range(3)] == [2, 1, 0]
    assert await world.value("SELECT id FROM trust_log") == "t3"
    assert await world.value("SELECT revision FROM trust_head") == 4
