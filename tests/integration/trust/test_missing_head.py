"""A database that was restored in part gives no definite answer: it is not available."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.postgres_world import (
    NOW,
    World,
    advance_of,
    event,
    make_world,
    revocation,
)
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.adapters.postgres.failures import MissingRowError
from token_service.adapters.postgres.pairing.store import PairingStore
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.adapters.postgres.users.store import UserStore
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import TrustEntryKind
from token_service.domain.ports import CollectGuard


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=2)
    yield await make_world(database)
    await database.close()


async def refused(call: Awaitable[Any]) -> BaseException | None:
    """The call is told that the store is unavailable; why."""
    with pytest.raises(TokenServiceError) as refusal:
        await call
    assert refusal.value.reason is Reason.STORE_UNAVAILABLE
    return refusal.value.__cause__


async def test_without_a_trust_head_nothing_is_found_missing(world: World) -> None:
    """What is there is not told to be gone, expired, unknown, or changed meanwhile."""
    session = await world.issue()
    paired = await world.issue(world.session(pairing_id=uuid4()))
    assert paired.pairing_id is not None
    username = await world.value("SELECT username FROM users")
    await world.database.execute("DELETE FROM trust_head")
    users, clients = UserStore(world.database), ClientStore(world.database)
    pairings, revocations = PairingStore(world.database), RevocationStore(world.database)
    child = world.session(parent_session_id=session.session_id, pairing_id=uuid4())
    of_session = revocation(TrustEntryKind.SESSION, session.session_id)
    of_nothing = revocation(TrustEntryKind.SESSION, uuid4())

    cause = await refused(world.sessions.view(session.lookup_id))
    assert isinstance(cause, MissingRowError)
    assert str(cause) == "the row of trust_head is missing"
    calls: list[Awaitable[Any]] = [
        world.sessions.page(str(world.user_id), None, 10, "", NOW),
        world.sessions.record_activity([(session.session_id, NOW)], NOW),
        world.sessions.advance(advance_of(session), event("exchange")),
        world.sessions.insert(world.session(), world.guard(), event("issue")),
        pairings.approver(session.session_id),
        pairings.child(paired.pairing_id),
        pairings.collect(child, CollectGuard(0, 1, b"bucket"), event("collect")),
        users.by_username(username),
        users.set_enabled(world.user_id, True, event("enable")),
        users.set_roles(world.user_id, ["customer"], event("roles")),
        clients.get(world.client_id),
        revocations.revoke(of_session, NOW),
        revocations.revoke(of_nothing, NOW),
    ]
    for call in calls:
        await refused(call)
    assert await world.value("SELECT count(*) FROM audit_log") == 2


async def test_a_session_whose_client_is_missing_is_not_told_to_be_gone(world: World) -> None:
    session = await world.issue()
    await world.database.execute("DELETE FROM clients")

    cause = await refused(world.sessions.view(session.lookup_id))

    assert isinstance(cause, MissingRowError)
    assert str(cause) == "the row of a session's client is missing"
