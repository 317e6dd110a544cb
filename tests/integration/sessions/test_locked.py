"""Rows that stay locked: a session's costs its own session, the trust head's the changes."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from tests.integration.postgres_world import (
    World,
    add_client,
    add_user,
    advance_of,
    event,
    holding,
    make_world,
    until_blocked,
)
from tests.integration.sessions.test_plain import plainly
from tests.support.waiting import patience
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.users.store import UserStore
from token_service.domain.errors import Reason, TokenServiceError

LOCK = "SELECT FROM sessions WHERE session_id = ANY ($1::uuid[]) FOR UPDATE"
STUCK = 12
"""More than a pool has connections, and more than there are lanes."""


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=4)
    yield await make_world(database)
    await database.close()


@pytest.fixture
async def elsewhere(dsn: str) -> AsyncIterator[Database]:
    """An administrator's connection."""
    database = await Database.open(dsn, size=2, call_timeout=60)
    yield database
    await database.close()


async def test_rows_that_stay_locked_cost_their_own_sessions_only(
    world: World, elsewhere: Database
) -> None:
    stuck = [await world.issue() for _ in range(STUCK)]
    others = [await world.issue() for _ in range(8)]
    async with holding(elsewhere, LOCK, [one.session_id for one in stuck]), patience():
        waiting = [
            asyncio.create_task(world.sessions.advance(advance_of(one), event("exchange")))
            for one in stuck
        ]
        for one in stuck:
            assert await world.sessions.advance_plainly(plainly(one), event("exchange")) is None
        for generation in range(1, 30):
            moved = await asyncio.gather(
                *(
                    world.sessions.advance_plainly(
                        plainly(replace(one, generation=generation)), event("exchange")
                    )
                    for one in (*others, *stuck)
                )
            )
            assert [one is not None for one in moved] == [True] * len(others) + [False] * STUCK
        refused = await asyncio.gather(*waiting, return_exceptions=True)
    assert {error.reason for error in refused if isinstance(error, TokenServiceError)} == {
        Reason.STORE_UNAVAILABLE
    }
    assert len([error for error in refused if isinstance(error, TokenServiceError)]) == STUCK
    for one in stuck:
        assert await world.sessions.advance(advance_of(one), event("exchange")) is not None


async def test_a_row_that_is_let_go_is_exchanged(world: World, elsewhere: Database) -> None:
    session = await world.issue()
    async with patience():
        async with holding(elsewhere, LOCK, [session.session_id]):
            waiting = asyncio.create_task(
                world.sessions.advance(advance_of(session), event("exchange"))
            )
            assert await world.sessions.advance_plainly(plainly(session), event("exchange")) is None
            assert not waiting.done()
        assert await waiting is not None


async def test_changes_that_wait_for_the_trust_head_leave_the_others_room(
    world: World, elsewhere: Database
) -> None:
    session = await world.issue()
    users, clients = UserStore(world.database), ClientStore(world.database)
    waiting: list[Coroutine[Any, Any, object]] = []
    for number in range(STUCK):
        name, user_id = f"app-{number}", UUID(int=number)
        await add_user(world, user_id)
        await add_client(world, name)
        waiting += [
            users.set_enabled(user_id, False, event("disable")),
            clients.set_enabled(name, False, event("disable")),
            users.define_role(name, (), event("define")),
        ]
    async with holding(elsewhere, "SELECT FROM trust_head FOR UPDATE"), patience():
        changes = [asyncio.create_task(change) for change in waiting]
        await until_blocked(elsewhere, 2)
        for generation in range(1, 30):
            current = plainly(replace(session, generation=generation))
            assert await world.sessions.advance_plainly(current, event("exchange")) is not None
        assert not any(task.done() for task in changes)
        refused = await asyncio.gather(*changes, return_exceptions=True)
    assert all(isinstance(error, TokenServiceError) for error in refused)
