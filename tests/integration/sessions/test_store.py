"""Sessions in a real database: each statement, and what it must refuse."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.postgres_world import (
    NOW,
    POLICY,
    World,
    add_client,
    add_key,
    add_user,
    advance_of,
    event,
    make_world,
)
from token_service.adapters.postgres.pool import Database
from token_service.domain.errors import TokenServiceError
from token_service.domain.kinds import Amr, ClientState, KeyState
from token_service.domain.sessions.exchange import require_live


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=4)
    yield await make_world(database)
    await database.close()


async def test_a_stored_session_reads_back_as_it_was(world: World) -> None:
    full = world.session(exchange_hash=b"h" * 32, confirmation=b"c" * 32, acr=2)
    bare = world.own_session(scopes=(), device=replace(full.device, device_id="", name=""))

    for session in (full, bare):
        stored = await world.issue(session)
        assert await world.sessions.get(session.session_id) == stored
        view = await world.sessions.view(session.lookup_id)
        assert view is not None
        assert view.session == stored


async def test_a_new_session_takes_the_revision_of_the_log(world: World) -> None:
    await world.database.execute("UPDATE trust_head SET revision = 41")

    assert (await world.issue()).rev == 41


async def test_a_new_session_comes_with_its_audit_row(world: World) -> None:
    await world.issue()

    rows = await world.database.fetch(
        "SELECT at, actor, action, outcome, request_id FROM audit_log"
    )
    assert [tuple(row) for row in rows] == [(NOW, "gateway", "issue", "ok", "r1")]


@pytest.mark.parametrize(
    ("change", "guard"),
    [
        ("UPDATE clients SET state = 5", {}),
        ("UPDATE trust_head SET config_version = 1", {}),
        ("UPDATE users SET disabled_at = '2026-11-22Z'", {}),
        ("UPDATE users SET version = 2", {}),
        ("UPDATE users SET credential_version = 2", {}),
        ("DELETE FROM users", {}),
        ("DELETE FROM clients", {}),
        (
            "INSERT INTO attempts VALUES ('\\x01', 5, '2026-11-22 13:00Z', '2026-11-22 13:00Z')",
            {"attempt_bucket": b"\x01"},
        ),
    ],
)
async def test_no_session_comes_to_be_when_the_guard_no_longer_holds(
    world: World, change: str, guard: dict[str, Any]
) -> None:
    await world.database.execute(change)

    inserted = await world.sessions.insert(world.session(), world.guard(**guard), event("issue"))

    assert inserted is None
    assert await world.value("SELECT count(*) FROM sessions") == 0
    assert await world.value("SELECT count(*) FROM audit_log") == 0


async def test_a_lock_that_has_ended_or_is_anothers_holds_nobody_up(world: World) -> None:
    await world.database.execute(
        """INSERT INTO attempts VALUES ('\\x01', 5, '2026-11-22Z', '2026-11-22Z'),
                                       ('\\x02', 5, '2026-11-22Z', '2026-11-23Z'),
                                       ('\\x03', 1, '2026-11-23Z', NULL)"""
    )

    for bucket in (b"\x01", b"\x03", b"\x04", b""):
        guard = world.guard(attempt_bucket=bucket)
        assert await world.sessions.insert(world.session(), guard, event("issue")) is not None


async def test_a_clients_own_session_needs_no_user(world: World) -> None:
    await world.database.execute("DELETE FROM users")

    stored = await world.issue(world.own_session())

    view = await world.sessions.view(stored.lookup_id)
    assert view is not None
    require_live(view, NOW)
    assert (view.user_gone, view.user_scopes, view.user_roles) == (False, None, ())


async def test_the_view_holds_all_that_decides(world: World) -> None:
    session = await world.issue()
    await world.database.execute(
        "UPDATE trust_head SET revision = 9, valid_rev = 3, config_version = 4"
    )
    await world.database.execute("UPDATE clients SET valid_rev = 2")
    await world.database.execute(
        "UPDATE users SET valid_rev = 5, version = 7, roles = '{customer,clerk,ghost}'"
    )

    view = await world.sessions.view(session.lookup_id)

    assert view is not None
    assert view.policy == POLICY
    assert (view.head_revision, view.global_valid_rev, view.config_version) == (9, 3, 4)
    assert (view.client_valid_rev, view.client_state) == (2, ClientState.ACTIVE)
    assert (view.user_valid_rev, view.user_version, view.user_disabled) == (5, 7, False)
    assert view.user_roles == ("customer", "clerk", "ghost")
    assert view.user_scopes == frozenset({"orders.read", "orders.write", "orders.refund"})


async def test_an_unknown_lookup_id_has_no_view(world: World) -> None:
    assert await world.sessions.view(uuid4()) is None
    assert await world.sessions.get(uuid4()) is None


async def test_an_exchange_moves_the_session_one_generation_on(world: World) -> None:
    session = await world.issue()
    await add_key(world, "00000002")
    await world.database.execute("UPDATE trust_head SET revision = 8")
    later = NOW + timedelta(minutes=10)
    change = advance_of(
        session,
        mint_kid="00000002",
        at=later,
        idle_seconds=60,
        idle_expires_at=later + timedelta(seconds=60),
        roles=("clerk",),
    )

    assert await world.sessions.advance(change, event("exchange")) == 8

    assert await world.sessions.get(session.session_id) == replace(
        session,
        generation=2,
        mint_kid="00000002",
        exchange_hash=change.exchange_hash,
        exchange_fingerprint=change.exchange_fingerprint,
        rotated_at=later,
        last_active_at=later,
        idle_seconds=60,
        idle_expires_at=change.idle_expires_at,
        roles=("clerk",),
    )
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'exchange'") == 1


async def test_only_a_fresh_credential_moves_the_authentication_forward(world: World) -> None:
    session = await world.issue()
    change = advance_of(session, auth_time=NOW + timedelta(1), acr=2, amr=Amr.PWD | Amr.OTP)

    await world.sessions.advance(change, event("reauthenticate"))
    stored = await world.sessions.get(session.session_id)

    assert stored is not None
    assert (stored.auth_time, stored.acr, stored.amr) == (
        NOW + timedelta(1),
        2,
        Amr.PWD | Amr.OTP,
    )


async def test_an_exchange_never_extends_the_absolute_expiry(world: World) -> None:
    session = await world.issue()
    change = advance_of(session, idle_expires_at=NOW + timedelta(days=30))

    await world.sessions.advance(change, event("exchange"))
    stored = await world.sessions.get(session.session_id)

    assert stored is not None
    assert stored.idle_expires_at == stored.absolute_expires_at == session.absolute_expires_at


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sessions SET generation = 2",
        "UPDATE sessions SET generation = 0",
        "UPDATE sessions SET revoked_at = '2026-11-22Z'",
        "UPDATE sessions SET idle_expires_at = '2026-11-22 12:00:00.123456Z'",
        "UPDATE sessions SET absolute_expires_at = '2026-11-22 12:00:00.123456Z'",
        "UPDATE trust_head SET valid_rev = 1",
        "UPDATE trust_head SET config_version = 1",
        "UPDATE clients SET valid_rev = 1",
        "UPDATE clients SET state = 5",
        "DELETE FROM clients",
        "UPDATE users SET valid_rev = 1",
        "UPDATE users SET version = 2",
        "UPDATE users SET disabled_at = '2026-11-22Z'",
        "DELETE FROM users",
        "UPDATE keys SET state = 5",
        "DELETE FROM keys",
        """INSERT INTO revoked_devices
           SELECT user_id::text, device_id, 1, '2026-11-22Z' FROM sessions""",
    ],
)
async def test_nothing_is_exchanged_when_anything_has_changed(world: World, change: str) -> None:
    session = await world.issue()
    await world.database.execute(change)
    before = await world.sessions.get(session.session_id)

    assert await world.sessions.advance(advance_of(session), event("exchange")) is None

    assert await world.sessions.get(session.session_id) == before
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'exchange'") == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE clients SET own_valid_rev = 1",
        "INSERT INTO revoked_devices SELECT client_id, device_id, 1, '2026-11-22Z' FROM sessions",
    ],
)
async def test_a_clients_own_session_dies_with_its_subject_and_device(
    world: World, change: str
) -> None:
    session = await world.issue(world.own_session())
    await world.database.execute(change)

    assert await world.sessions.advance(advance_of(session), event("exchange")) is None
    view = await world.sessions.view(session.lookup_id)
    assert view is not None
    with pytest.raises(TokenServiceError):
        require_live(view, NOW)


async def test_other_subjects_and_devices_do_not_matter(world: World) -> None:
    session = await world.issue()
    await add_client(world, "other")
    await add_user(world, other := uuid4())
    await add_key(world, "00000009", KeyState.COMPROMISED)
    for change, *args in (
        ("UPDATE clients SET valid_rev = 9 WHERE client_id = 'other'",),
        ("UPDATE clients SET own_valid_rev = 9",),
        ("UPDATE users SET valid_rev = 9 WHERE user_id = $1", other),
        ("INSERT INTO revoked_devices VALUES ($1, 'another', 9, $2)", str(world.user_id), NOW),
        (
            "INSERT INTO revoked_devices VALUES ($1, $2, 9, $3)",
            "shop",
            session.device.device_id,
            NOW,
        ),
    ):
        await world.database.execute(change, *args)

    assert await world.sessions.advance(advance_of(session), event("exchange")) == 0


async def test_a_session_exchanged_a_thousand_times_costs_what_it_cost(world: World) -> None:
    session = await world.issue(world.session(confirmation=b"c" * 32))
    session = await world.issue(world.session(confirmation=b"c" * 32))
    for generation in range(1, 1001):
        change = advance_of(replace(session, generation=generation))
        assert await world.sessions.advance(change, event("exchange")) is not None

    assert await world.value("SELECT max(pg_column_size(s.*)) FROM sessions s") <= 700
    assert await world.value("SELECT count(*) FROM sessions") == 2
    await world.database.execute("SELECT pg_stat_force_next_flush()")
    hot = "SELECT n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'sessions'"
    assert await world.value(hot) >= 950
    assert await world.value("SELECT pg_relation_size('sessions')") <= 5 * 8192
