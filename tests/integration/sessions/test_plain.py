"""The exchange in one round trip: it does what the decided one does, or nothing at all."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.integration.postgres_world import NOW, POLICY, World, event, make_world
from token_service.adapters.postgres.pool import Database
from token_service.domain.ports import ClientTerms, PlainAdvance
from token_service.domain.sessions.exchange import Advance, Presented, decide_exchange, plain_grant
from token_service.domain.sessions.session import Session


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=4)
    yield await make_world(database)
    await database.close()


HASH = bytes(range(32))
FINGERPRINT = bytes(range(32, 64))
BOUND = b"c" * 32


def plainly(
    session: Session, terms: Mapping[str, Any] | None = None, **changes: Any
) -> PlainAdvance:
    """The plain exchange of the session's current token, in the initial world; `terms` are
    changes of the client's."""
    standing = ClientTerms(
        client_id=session.client_id,
        config_version=0,
        audiences=POLICY.audiences,
        scopes=tuple(POLICY.scopes),
        idle_seconds=(1800, 3600, 7200),
    )
    given = PlainAdvance(
        terms=replace(standing, **(terms or {})),
        lookup_id=session.lookup_id,
        generation=session.generation,
        presented_mint_kid=session.mint_kid,
        confirmation=b"",
        audiences=(),
        scopes=(),
        mint_kid=session.mint_kid,
        exchange_hash=HASH,
        exchange_fingerprint=FINGERPRINT,
        at=NOW,
    )
    return replace(given, **changes)


async def test_it_moves_the_session_as_the_decided_exchange_would(world: World) -> None:
    session = await world.issue()
    later = NOW + timedelta(minutes=5)
    advanced = await world.sessions.advance_plainly(plainly(session, at=later), event("exchange"))
    assert advanced is not None
    made, rev = advanced
    assert rev == await world.value("SELECT revision FROM trust_head")
    view = await world.sessions.view(session.lookup_id)
    assert view is not None
    assert view.session == replace(
        session,
        generation=2,
        exchange_hash=HASH,
        exchange_fingerprint=FINGERPRINT,
        rotated_at=later,
        last_active_at=later,
        idle_expires_at=later + timedelta(hours=1),
    )
    assert view.session.current == made
    audited = await world.value(
        "SELECT (target, subject, details) FROM audit_log WHERE action = 'exchange'"
    )
    assert audited == (str(session.session_id), str(world.user_id), "generation=2")


async def test_it_grants_what_the_decision_grants(world: World) -> None:
    session = await world.issue()
    view = await world.sessions.view(session.lookup_id)
    assert view is not None
    for audiences, scopes in (((), ()), (("orders",), ("orders.read",)), (("payments",), ())):
        token = Presented(
            lookup_id=session.lookup_id,
            generation=1,
            mint_kid=session.mint_kid,
            client_id="shop",
            audiences=audiences,
            scopes=scopes,
        )
        decided = decide_exchange(view, token, NOW)
        assert isinstance(decided, Advance)
        assert plain_grant(session.current, POLICY, token) == decided.grant


REQUESTS: dict[str, dict[str, Any]] = {
    "an older generation": {"generation": 0},
    "a later generation": {"generation": 2},
    "another mint key": {"presented_mint_kid": "ffffffff"},
    "another client": {"terms": {"client_id": "other"}},
    "a wider scope": {"scopes": ("orders.refund",)},
    "a wider audience": {"audiences": ("stock",)},
    "a narrowed policy's scopes": {"terms": {"scopes": ("orders.read",)}},
    "a narrowed policy's audiences": {"terms": {"audiences": ("orders",)}},
    "another idle lifetime": {"terms": {"idle_seconds": (1800, 1800, 7200)}},
    "an outdated configuration": {"terms": {"config_version": 1}},
    "idle for too long": {"at": NOW + timedelta(hours=1)},
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
async def test_it_leaves_everything_else_alone(world: World, request_: dict[str, Any]) -> None:
    session = await world.issue()
    change = plainly(session, **request_)
    assert await world.sessions.advance_plainly(change, event("exchange")) is None
    view = await world.sessions.view(session.lookup_id)
    assert view is not None
    assert view.session == session
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'exchange'") == 0


CHANGES = {
    "session revoked": "UPDATE sessions SET revoked_at = clock_timestamp()",
    "session expired": "UPDATE sessions SET absolute_expires_at = idle_expires_at - "
    "interval '2 hours'",
    "user disabled": "UPDATE users SET disabled_at = clock_timestamp()",
    "user gone": "DELETE FROM users",
    "user revoked": "UPDATE users SET valid_rev = 1",
    "user has other roles": "UPDATE users SET roles = '{clerk}'",
    "roles narrowed": "UPDATE roles SET scopes = '{orders.read}'",
    "client disabled": "UPDATE clients SET state = 5",
    "client revoked": "UPDATE clients SET valid_rev = 1",
    "everything revoked": "UPDATE trust_head SET valid_rev = 1",
    "configuration changed": "UPDATE trust_head SET config_version = config_version + 1",
    "mint key compromised": "UPDATE keys SET state = 5",
    "mint key gone": "DELETE FROM keys",
    "device revoked": "INSERT INTO revoked_devices (subject, device_id, valid_rev, revoked_at) "
    "SELECT user_id::text, device_id, 1, clock_timestamp() FROM sessions",
    "bound to a certificate": "UPDATE sessions SET confirmation = 'certificate'",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_it_does_nothing_once_anything_stands_against_it(world: World, change: str) -> None:
    session = await world.issue()
    await world.database.execute(change)
    advanced = await world.sessions.advance_plainly(plainly(session), event("exchange"))
    assert advanced is None
    assert await world.value("SELECT generation FROM sessions") == 1
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'exchange'") == 0


async def test_a_bound_session_goes_on_with_its_certificate(world: World) -> None:
    session = await world.issue(world.session(confirmation=BOUND))
    wrong = plainly(session, confirmation=b"d" * 32)
    assert await world.sessions.advance_plainly(wrong, event("exchange")) is None
    right = plainly(session, confirmation=BOUND)
    assert await world.sessions.advance_plainly(right, event("exchange")) is not None


async def test_a_clients_own_session_needs_no_user(world: World) -> None:
    session = await world.issue(world.own_session())
    change = plainly(session, {"idle_seconds": (1800, 1800, 3600)})
    await world.database.execute("UPDATE clients SET own_valid_rev = 1")
    assert await world.sessions.advance_plainly(change, event("exchange")) is None
    await world.database.execute("UPDATE clients SET own_valid_rev = 0")
    assert await world.sessions.advance_plainly(change, event("exchange")) is not None


async def test_what_comes_at_once_advances_each_for_itself(world: World) -> None:
    sessions = [await world.issue(world.session()) for _ in range(40)]
    await world.database.execute(
        "UPDATE sessions SET revoked_at = clock_timestamp() WHERE session_id = $1",
        sessions[7].session_id,
    )
    changes = [plainly(one) for one in sessions]
    changes[3] = replace(changes[3], generation=2)
    changes[5] = replace(changes[5], audiences=("orders",))
    asked = (world.sessions.advance_plainly(change, event("exchange")) for change in changes)
    answers = await asyncio.gather(*asked)
    for number, (session, answer) in enumerate(zip(sessions, answers, strict=True)):
        if number in (3, 7):
            assert answer is None
        else:
            assert answer is not None
            assert answer[0].session_id == session.session_id
            assert answer[0].generation == 2
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'exchange'") == 38


async def test_of_many_presenters_at_once_one_advances(world: World) -> None:
    session = await world.issue()
    changes = [plainly(session, exchange_fingerprint=bytes([number] * 32)) for number in range(20)]
    asked = (world.sessions.advance_plainly(change, event("exchange")) for change in changes)
    answers = await asyncio.gather(*asked)
    (winner,) = (number for number, answer in enumerate(answers) if answer is not None)
    assert await world.value("SELECT exchange_fingerprint FROM sessions") == bytes([winner] * 32)
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'exchange'") == 1
    assert await world.value("SELECT generation FROM sessions") == 2


async def test_one_that_cannot_be_read_takes_no_other_with_it(world: World) -> None:
    """All are committed by then: run again, the others would look exchanged before."""
    sessions = [await world.issue(world.session()) for _ in range(9)]
    await world.database.execute(
        "UPDATE sessions SET kind = 99 WHERE session_id = $1", sessions[4].session_id
    )
    asked = (world.sessions.advance_plainly(plainly(one), event("exchange")) for one in sessions)
    answers = await asyncio.gather(*asked)
    assert [number for number, answer in enumerate(answers) if answer is None] == [4]
    assert await world.value("SELECT max(generation) FROM sessions") == 2
