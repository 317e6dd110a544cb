"""Logins and exchanges against revocations: whoever comes first, nothing usable is left."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import pytest

from tests.integration.postgres_world import (
    NOW,
    PHONE,
    World,
    advance_of,
    event,
    holding,
    make_world,
    revocation,
    until_asked,
    until_blocked,
)
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.sessions.store import SessionStore
from token_service.adapters.postgres.trust.log import NewEntry, append
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.domain.kinds import RevocationReason, TrustEffect, TrustEntryKind
from token_service.domain.sessions.session import Session
from token_service.domain.trust.revocation import Revocation


@dataclass(frozen=True)
class Node:
    """What one process of the service has: a pool and the stores on it."""

    database: Database
    sessions: SessionStore
    revocations: RevocationStore


@pytest.fixture
async def nodes(dsn: str) -> AsyncIterator[list[Node]]:
    async with AsyncExitStack() as stack:
        nodes = []
        for _ in range(4):
            database = await Database.open(dsn, size=8, call_timeout=30)
            stack.push_async_callback(database.close)
            revocations = RevocationStore(database)
            stack.push_async_callback(revocations.close)
            nodes.append(Node(database, SessionStore(database), revocations))
        yield nodes


@pytest.fixture
async def world(nodes: list[Node]) -> World:
    return await make_world(nodes[0].database)


Make = Callable[[World], Session]
Revoke = Callable[[Session], Revocation]
BULK: list[tuple[Make, Revoke]] = [
    (World.session, lambda s: revocation(TrustEntryKind.SUBJECT, s.subject)),
    (
        World.session,
        lambda s: revocation(TrustEntryKind.SUBJECT_DEVICE, s.subject, device_id=PHONE.device_id),
    ),
    (World.session, lambda s: revocation(TrustEntryKind.CLIENT, s.client_id)),
    (World.session, lambda _: revocation(TrustEntryKind.EVERYTHING)),
    (World.own_session, lambda s: revocation(TrustEntryKind.SUBJECT, s.subject)),
    (World.own_session, lambda s: revocation(TrustEntryKind.CLIENT, s.client_id)),
    (
        World.own_session,
        lambda s: revocation(TrustEntryKind.SUBJECT_DEVICE, s.subject, device_id=PHONE.device_id),
    ),
]
IDS = ["user", "device", "client", "everything", "own", "client-of-own", "device-of-own"]


@pytest.mark.parametrize(("make", "revoke"), BULK, ids=IDS)
async def test_logins_race_a_bulk_revocation(
    world: World, nodes: list[Node], make: Make, revoke: Revoke
) -> None:
    for _ in range(5):
        sessions = [make(world) for _ in range(24)]
        inserts = [
            node.sessions.insert(session, world.guard(), event("issue"))
            for node, session in zip(cycle(nodes), sessions, strict=False)
        ]
        work: list[Awaitable[Any]] = list(inserts)
        work.insert(12, nodes[1].revocations.revoke(revoke(sessions[0]), NOW))
        outcomes = await asyncio.gather(*work)
        revoked = outcomes.pop(12)

        for session, inserted in zip(sessions, outcomes, strict=True):
            assert await world.lives(session) is (inserted.rev >= revoked.revision)


async def stop_before(world: World, write: str) -> None:
    """Have writes of sessions wait for an advisory lock, each with its snapshot taken."""
    await world.database.execute(
        """CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS
           $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$"""
    )
    await world.database.execute(
        f"""CREATE TRIGGER wait_here BEFORE {write} ON sessions
           FOR EACH ROW EXECUTE FUNCTION wait_here()"""
    )


@pytest.mark.parametrize(("make", "revoke"), BULK, ids=IDS)
async def test_a_login_under_way_dies_with_a_bulk_revocation(
    world: World, nodes: list[Node], make: Make, revoke: Revoke
) -> None:
    """The login has read everything when the revocation commits, and commits after it."""
    await stop_before(world, "INSERT")
    session = make(world)
    async with holding(nodes[1].database, "SELECT pg_advisory_xact_lock(1)"):
        login = asyncio.create_task(
            nodes[0].sessions.insert(session, world.guard(), event("issue"))
        )
        await until_blocked(nodes[2].database)
        revoked = await nodes[2].revocations.revoke(revoke(session), NOW)
    inserted = await login

    assert inserted is not None
    assert inserted.rev < revoked.revision
    assert not await world.lives(session)
    change = advance_of(session)
    assert await nodes[0].sessions.advance(change, event("exchange")) is None


@pytest.mark.parametrize(("make", "revoke"), BULK, ids=IDS)
async def test_an_exchange_under_way_dies_with_a_bulk_revocation(
    world: World, nodes: list[Node], make: Make, revoke: Revoke
) -> None:
    """The exchange is about to write, its snapshot taken, when the revocation commits."""
    session = await world.issue(make(world))
    await stop_before(world, "UPDATE")
    async with holding(nodes[1].database, "SELECT pg_advisory_xact_lock(1)"):
        exchange = asyncio.create_task(
            nodes[0].sessions.advance(advance_of(session), event("exchange"))
        )
        await until_blocked(nodes[2].database)
        revoked = await nodes[2].revocations.revoke(revoke(session), NOW)
    rev = await exchange

    # Its access tokens carry a revision that the entry kills, and the session is dead.
    assert rev is not None
    assert rev < revoked.revision
    assert not await world.lives(session)
    again = advance_of(session, from_generation=2)
    assert await nodes[0].sessions.advance(again, event("exchange")) is None


async def test_a_login_or_exchange_that_races_a_disable_loses_either_way(
    world: World, nodes: list[Node]
) -> None:
    old = await world.issue()
    sessions = [world.session() for _ in range(24)]

    async def disable() -> int:
        async with nodes[3].database.transaction() as conn:
            await conn.execute("SELECT FROM users FOR NO KEY UPDATE")
            entry = NewEntry(
                TrustEntryKind.SUBJECT,
                str(world.user_id),
                "",
                TrustEffect.REVOKE,
                RevocationReason.USER_DISABLED,
            )
            revision = await append(conn, [entry], now=NOW)
            await conn.execute(
                "UPDATE users SET disabled_at = $1, version = 2, valid_rev = $2", NOW, revision
            )
            return revision

    work: list[Awaitable[Any]] = [
        node.sessions.insert(session, world.guard(), event("issue"))
        for node, session in zip(cycle(nodes), sessions, strict=False)
    ]
    work.insert(8, disable())
    work.insert(12, nodes[0].sessions.advance(advance_of(old), event("exchange")))
    outcomes = await asyncio.gather(*work)
    rev, revision = outcomes.pop(12), outcomes.pop(8)

    assert rev is None or rev < revision
    assert not await world.lives(old)
    for session, inserted in zip(sessions, outcomes, strict=True):
        assert inserted is None or inserted.rev < revision
        assert inserted is None or not await world.lives(session)


async def test_an_exchange_behind_its_sessions_revocation_finds_it(
    world: World, nodes: list[Node]
) -> None:
    session = await world.issue()
    async with holding(nodes[1].database, "SELECT 1 FROM trust_head FOR UPDATE"):
        revoke = asyncio.create_task(
            nodes[2].revocations.revoke(revocation(TrustEntryKind.SESSION, session.session_id), NOW)
        )
        await until_blocked(nodes[3].database)  # holds the row, waits for the head
        exchange = asyncio.create_task(
            nodes[0].sessions.advance(advance_of(session), event("exchange"))
        )
        await until_asked(nodes[3].database)
        assert not exchange.done()
    revoked = await revoke

    assert await exchange is None
    assert revoked.sessions == 1
    assert not await world.lives(session)
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'exchange'") == 0


async def test_exchanges_race_the_revocation_of_their_session(
    world: World, nodes: list[Node]
) -> None:
    sessions = [await world.issue() for _ in range(32)]
    work: list[Awaitable[Any]] = []
    for node, session in zip(cycle(nodes), sessions, strict=False):
        target = revocation(TrustEntryKind.SESSION, session.session_id)
        work.append(node.sessions.advance(advance_of(session), event("exchange")))
        work.append(nodes[3].revocations.revoke(target, NOW))
    outcomes = await asyncio.gather(*work)

    for session, rev, revoked in zip(sessions, outcomes[::2], outcomes[1::2], strict=True):
        assert rev is None or rev < revoked.revision
        assert revoked.sessions == 1
        assert not await world.lives(session)


async def test_one_of_64_exchanges_of_a_generation_wins(world: World, nodes: list[Node]) -> None:
    session = await world.issue()
    for generation in range(1, 6):
        current = replace(session, generation=generation)
        outcomes = await asyncio.gather(
            *(
                node.sessions.advance(
                    advance_of(current, exchange_fingerprint=bytes([racer]) * 32), event("exchange")
                )
                for racer, node in zip(range(64), cycle(nodes), strict=False)
            )
        )
        winners = [racer for racer, rev in enumerate(outcomes) if rev is not None]

        assert len(winners) == 1
        stored = await world.sessions.get(session.session_id)
        assert stored is not None
        assert stored.generation == generation + 1
        assert stored.exchange_fingerprint == bytes(winners) * 32
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'exchange'") == 5
