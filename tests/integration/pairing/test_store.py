"""The store of pairings: what is decided on is what is written, and nothing is made twice."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.integration.postgres_world import (
    AGENT,
    NOW,
    PHONE,
    World,
    add_client,
    advance_of,
    event,
    holding,
    make_world,
    revocation,
    until_blocked,
    until_let_be,
)
from tests.support.removing import removed
from tests.support.waiting import patience
from token_service.adapters.postgres.pairing.store import PairingStore
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.adapters.postgres.trust_head import HOLD
from token_service.domain.kinds import (
    Amr,
    PairingDirection,
    PairingState,
    Platform,
    RevocationReason,
    TokenKind,
    TrustEntryKind,
)
from token_service.domain.pairing.decision import Login, Pairing
from token_service.domain.ports import CodeTombstone, CollectGuard, PairingMove
from token_service.domain.sessions.session import Device, Session

SECOND = timedelta(seconds=1)
CODE = CodeTombstone(b"c" * 32, NOW + 120 * SECOND)
GUARD = CollectGuard(config_version=0, user_version=1, attempt_bucket=b"account")


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=6)
    yield await make_world(database)
    await database.close()


@pytest.fixture
def store(world: World) -> PairingStore:
    return PairingStore(world.database)


def pairing(approver: Session | None = None, **changes: Any) -> Pairing:
    given = Pairing(
        pairing_id=uuid4(),
        direction=PairingDirection.MAP,
        direct=False,
        client_id="shop",
        starter_client="shop",
        pepper_id="0a0b0c0d",
        watch_hash=b"w" * 32,
        audiences=("orders",),
        scopes=("orders.read",),
        starter=Device("pc", "Ana's PC", AGENT, "203.0.113.1"),
        started_at=NOW - SECOND,
        state=PairingState.SCANNED,
        ends_at=NOW + 300 * SECOND,
        approver_session=approver.session_id if approver else None,
        scanner_client="phone",
        scan_hash=b"s" * 32,
        scanner=PHONE,
        scanned_at=NOW,
    )
    return replace(given, **changes)


def move(asked: Pairing, state: PairingState, **changes: Any) -> PairingMove:
    given = PairingMove(
        pairing_id=asked.pairing_id,
        from_state=asked.state,
        from_wrong_numbers=asked.wrong_numbers,
        state=state,
        wrong_numbers=asked.wrong_numbers,
        ends_at=NOW + 300 * SECOND,
        at=NOW,
    )
    return replace(given, **changes)


def child_of(world: World, parent: Session, pairing_id: UUID | None = None) -> Session:
    return world.session(
        kind=TokenKind.WEB_SESSION,
        platform=Platform.WEB,
        parent_session_id=parent.session_id,
        pairing_id=pairing_id or uuid4(),
    )


async def approved(world: World, store: PairingStore) -> tuple[Session, Pairing, Session]:
    """An approving session, its pairing, and the session that is to come of it."""
    parent = await world.issue()
    login = Login(NOW, 1, Amr.PWD)
    asked = pairing(parent, state=PairingState.APPROVED, login=login)
    assert await store.insert(asked, [CODE], event("scan"))
    return parent, asked, child_of(world, parent, asked.pairing_id)


async def test_a_pairing_reads_back_as_it_was(world: World, store: PairingStore) -> None:
    full = pairing(
        uuid_session := await world.issue(),
        direction=PairingDirection.PAM,
        direct=True,
        state=PairingState.APPROVED,
        login=Login(NOW, 2, Amr.PWD | Amr.OTP),
        wrong_numbers=1,
    )
    assert await store.insert(full, [CODE], event("scan"))
    assert await store.get(full.pairing_id) == full
    assert await store.find_by_code([b"other", CODE.code_hash], NOW) == full
    assert await store.find_by_code([CODE.code_hash], CODE.dies_at) is None
    assert await store.get(uuid4()) is None
    assert full.approver_session == uuid_session.session_id


async def test_of_two_first_scans_one_is(world: World, store: PairingStore) -> None:
    asked = pairing()
    tries = [store.insert(asked, [], event("scan")) for _ in range(6)]
    assert sorted(await asyncio.gather(*tries)) == [False] * 5 + [True]
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'scan'") == 1


async def test_a_step_is_taken_once_and_from_what_was_decided_on(
    world: World, store: PairingStore
) -> None:
    asked = pairing()
    assert await store.insert(asked, [], event("scan"))
    late = move(asked, PairingState.DENIED, at=asked.ends_at)
    assert not await store.move(late, event("deny"))
    stale = move(asked, PairingState.DENIED, from_wrong_numbers=1)
    assert not await store.move(stale, event("deny"))
    step = move(asked, PairingState.APPROVED, login=Login(NOW, 1, Amr.PWD))
    tries = [store.move(step, event("approve")) for _ in range(6)]
    assert sorted(await asyncio.gather(*tries)) == [False] * 5 + [True]
    found = await store.get(asked.pairing_id)
    assert found is not None
    assert found.login == Login(NOW, 1, Amr.PWD)
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'approve'") == 1
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'deny'") == 0


async def test_a_pairing_is_collected_once(world: World, store: PairingStore) -> None:
    parent, asked, child = await approved(world, store)
    children = [replace(child, session_id=uuid4(), lookup_id=uuid4()) for _ in range(6)]
    found = await asyncio.gather(*(store.collect(one, GUARD, event("collect")) for one in children))
    assert len([one for one in found if one is not None]) == 1
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'collect'") == 1
    view = await store.child(asked.pairing_id)
    assert view is not None
    assert view.session.parent_session_id == parent.session_id
    done = await store.get(asked.pairing_id)
    assert done is not None
    assert (done.state, done.child_session) == (PairingState.COMPLETED, view.session.session_id)
    # Not even whoever goes round the store makes a second one.
    with pytest.raises(Exception, match="sessions_pairing"):
        await world.issue(replace(child, session_id=uuid4(), lookup_id=uuid4()))


WHAT_MAY_HAPPEN = (
    ("UPDATE users SET disabled_at = '{now}'", "UPDATE users SET disabled_at = NULL"),
    ("UPDATE users SET valid_rev = 9", "UPDATE users SET valid_rev = 0"),
    ("UPDATE users SET version = 2", "UPDATE users SET version = 1"),
    (
        "UPDATE clients SET state = 5 WHERE client_id = 'shop'",
        "UPDATE clients SET state = 3 WHERE client_id = 'shop'",
    ),
    (
        "UPDATE clients SET state = 5 WHERE client_id = 'tv'",
        "UPDATE clients SET state = 3 WHERE client_id = 'tv'",
    ),
    ("UPDATE clients SET valid_rev = 9", "UPDATE clients SET valid_rev = 0"),
    ("UPDATE trust_head SET valid_rev = 9", "UPDATE trust_head SET valid_rev = 0"),
    ("UPDATE trust_head SET config_version = 1", "UPDATE trust_head SET config_version = 0"),
    ("UPDATE keys SET state = 5", "UPDATE keys SET state = 2"),
    ("UPDATE sessions SET revoked_at = '{now}'", "UPDATE sessions SET revoked_at = NULL"),
    (
        "UPDATE sessions SET idle_expires_at = '{now}'",
        "UPDATE sessions SET idle_expires_at = '{later}'",
    ),
    (
        "UPDATE sessions SET absolute_expires_at = '{now}'",
        "UPDATE sessions SET absolute_expires_at = '{later}'",
    ),
    (
        "INSERT INTO revoked_devices SELECT user_id, '{device}', 9, '{now}' FROM users",
        "DELETE FROM revoked_devices",
    ),
    (
        "INSERT INTO attempts VALUES ('account', 100, '{later}', '{later}')",
        "DELETE FROM attempts",
    ),
    ("UPDATE pairings SET state = 7", "UPDATE pairings SET state = 3"),
    ("UPDATE pairings SET ends_at = '{now}'", "UPDATE pairings SET ends_at = '{later}'"),
)


async def test_what_happened_to_anybody_meanwhile_refuses(
    world: World, store: PairingStore
) -> None:
    await add_client(world, "tv")
    _, asked, child = await approved(world, store)
    child = replace(child, client_id="tv")
    values = {"now": NOW, "later": NOW + timedelta(hours=1), "device": PHONE.device_id}
    for happens, is_undone in WHAT_MAY_HAPPEN:
        await world.database.execute(happens.format(**values))
        assert await store.collect(child, GUARD, event("collect")) is None, happens
        await world.database.execute(is_undone.format(**values))
    assert await store.child(asked.pairing_id) is None
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'collect'") == 0
    assert await store.collect(child, GUARD, event("collect")) is not None


# --- a collection and a revocation at the same time ---------------------------------------------


@pytest.mark.parametrize("kind", ["session", "device", "client", "key"])
async def test_a_session_that_came_just_before_a_revocation_goes_with_it(
    world: World, kind: str
) -> None:
    """The collection has not committed when the revocation looks for descendants first."""
    parent = await world.issue()
    child = child_of(world, parent)
    await world.database.execute("UPDATE sessions SET mint_kid = 'other'")
    entry = {
        "session": revocation(TrustEntryKind.SESSION, parent.session_id),
        "device": revocation(
            TrustEntryKind.SUBJECT_DEVICE, world.user_id, device_id=PHONE.device_id
        ),
        "client": revocation(TrustEntryKind.CLIENT, "shop"),
        "key": revocation(TrustEntryKind.KEY, "other"),
    }[kind]
    await world.database.execute(
        """INSERT INTO keys (kid, purpose, algorithm, state, secret_key_id, created_at,
           activates_at) VALUES ('other', 2, 'HMAC', 2, 'test', $1, $1)""",
        NOW,
    )
    child = replace(child, device=Device("pc"))
    async with holding(world.database, HOLD):
        revoking = asyncio.create_task(RevocationStore(world.database).revoke(entry, NOW))
        await until_blocked(world.database)
        # As the statement of the collection does it, whose lock is held.
        await world.issue(child)
        collected = pairing(parent, state=PairingState.COMPLETED, ends_at=NOW)
        assert await PairingStore(world.database).insert(collected, [], event("collect"))
    revoked = await revoking
    reached = await world.value(
        "SELECT revoked_at IS NOT NULL FROM sessions WHERE session_id = $1", child.session_id
    )
    assert reached
    revision = await world.value(
        "SELECT revision FROM trust_log WHERE id = $1", str(child.session_id)
    )
    assert revision is not None
    assert revision <= revoked.revision


async def test_a_collection_waits_for_a_revocation_and_is_refused(
    world: World, store: PairingStore
) -> None:
    parent, _, child = await approved(world, store)
    async with holding(world.database, "UPDATE trust_head SET revision = revision + 1") as revoking:
        collecting = asyncio.create_task(store.collect(child, GUARD, event("collect")))
        await until_blocked(world.database)
        await revoking.execute(
            "INSERT INTO revoked_devices VALUES ($1, $2, 1, $3)",
            str(world.user_id),
            parent.device.device_id,
            NOW,
        )
    assert await collecting is None


async def test_a_pairing_that_stays_locked_keeps_no_revocation_waiting(
    world: World, store: PairingStore
) -> None:
    """Who collects it holds a share of the trust head, and must not while it waits."""
    _, asked, child = await approved(world, store)
    lock = "SELECT FROM pairings WHERE pairing_id = $1 FOR UPDATE"
    async with holding(world.database, lock, asked.pairing_id), patience():
        collecting = asyncio.create_task(store.collect(child, GUARD, event("collect")))
        await until_let_be(world.database)
        for number in range(5):
            other = revocation(TrustEntryKind.TOKEN, f"t{number}")
            assert (await RevocationStore(world.database).revoke(other, NOW)).revision
        assert not collecting.done()
    assert await collecting is not None


async def test_collections_do_not_wait_for_each_other(world: World, store: PairingStore) -> None:
    _, _, child = await approved(world, store)
    async with holding(world.database, HOLD):
        assert await store.collect(child, GUARD, event("collect")) is not None


async def test_revocations_at_once_all_over_a_family(world: World) -> None:
    """Parents and children in every order: none is missed, and each has one entry."""
    family = [await world.issue()]
    for _ in range(5):
        family.append(await world.issue(child_of(world, family[-1])))
    stores = [RevocationStore(world.database) for _ in range(4)]
    entries = [revocation(TrustEntryKind.SESSION, one.session_id) for one in family]
    done = await asyncio.gather(
        *(
            stores[place % 4].revoke(entry, NOW)
            for place, entry in enumerate([*entries, *reversed(entries)])
        )
    )
    assert sum(one.sessions for one in done) == 6
    assert await world.value("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0
    assert await world.value("SELECT count(*) FROM trust_log") == 6
    assert await world.value("SELECT revision FROM trust_head") == 6


async def test_logging_out_leaves_the_phones(world: World) -> None:
    browser = await world.issue()
    phone = await world.issue(
        world.session(parent_session_id=browser.session_id, pairing_id=uuid4())
    )
    below = await world.issue(child_of(world, phone))
    second = await world.issue(child_of(world, browser))
    entry = revocation(TrustEntryKind.SESSION, browser.session_id, reason=RevocationReason.LOGOUT)
    assert (await RevocationStore(world.database).revoke(entry, NOW)).sessions == 2
    assert [await world.lives(one) for one in (browser, second, phone, below)] == [
        False,
        False,
        True,
        True,
    ]


async def test_a_spared_session_is_not_reached(world: World) -> None:
    parent = await world.issue()
    kept = await world.issue(child_of(world, parent))
    entry = revocation(TrustEntryKind.SESSION, parent.session_id, spared=kept.session_id)
    assert (await RevocationStore(world.database).revoke(entry, NOW)).sessions == 1
    assert await world.lives(kept)


# --- what it costs, and what is swept -----------------------------------------------------------


async def test_a_paired_session_costs_no_more_than_another(world: World) -> None:
    parent = await world.issue()
    child = await world.issue(replace(child_of(world, parent), confirmation=b"c" * 32))
    for generation in range(1, 201):
        change = advance_of(replace(child, generation=generation))
        assert await world.sessions.advance(change, event("exchange")) is not None
    assert await world.value("SELECT max(pg_column_size(s.*)) FROM sessions s") <= 700
    await world.database.execute("SELECT pg_stat_force_next_flush()")
    hot = "SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'sessions'"
    assert await world.value(hot) >= 180


async def test_a_parent_outlives_its_last_descendant(world: World) -> None:
    over = NOW - SECOND
    parent = await world.issue(world.session(absolute_expires_at=over, idle_expires_at=over))
    child = await world.issue(child_of(world, parent))
    assert await removed(world.sessions.removal, NOW) == 0
    entry = revocation(TrustEntryKind.SESSION, parent.session_id)
    assert (await RevocationStore(world.database).revoke(entry, NOW)).sessions == 1
    assert not await world.lives(child)
    later = NOW + timedelta(days=2)
    assert await removed(world.sessions.removal, later) == 1
    assert await removed(world.sessions.removal, later) == 1


async def test_what_is_over_is_ended_with_a_word_and_later_forgotten(
    world: World, store: PairingStore
) -> None:
    asked = pairing(ends_at=NOW - SECOND)
    assert await store.insert(asked, [CODE], event("scan"))
    expire, forget_codes, forget = store.removals
    assert await removed(expire, NOW) == 1
    found = await store.get(asked.pairing_id)
    assert found is not None
    assert found.state is PairingState.EXPIRED
    ended = "SELECT count(*) FROM audit_log WHERE action = 'pairing.expire'"
    assert await world.value(ended) == 1
    assert [await removed(one, NOW) for one in store.removals] == [0, 0, 0]
    assert await world.value(ended) == 1
    assert await removed(forget, NOW + timedelta(days=2)) == 1
    assert await removed(forget_codes, NOW + timedelta(days=2)) == 1
    assert await world.value("SELECT count(*) FROM pairing_codes") == 0
