"""What "live" means: the database and the domain say the same."""

from collections.abc import AsyncIterator
from itertools import combinations

import pytest

from tests.integration.postgres_world import NOW, World, make_world
from token_service.adapters.postgres.pool import Connection, Database
from token_service.adapters.postgres.sessions.live import LIVE_FROM, live, live_row
from token_service.adapters.postgres.sessions.rows import VIEW_JOINS, view_from_row
from token_service.adapters.postgres.sessions.sql import VIEW
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.sessions.exchange import require_live
from token_service.domain.sessions.session import Session

CHANGES = (
    "UPDATE sessions SET revoked_at = '2026-11-22Z'",
    "UPDATE sessions SET idle_expires_at = '2026-11-22 12:00:00.123456Z'",
    "UPDATE sessions SET absolute_expires_at = '2026-11-22 12:00:00.123456Z'",
    "UPDATE trust_head SET valid_rev = 5",
    "UPDATE trust_head SET valid_rev = 6",
    "UPDATE clients SET valid_rev = 5",
    "UPDATE clients SET valid_rev = 6",
    "UPDATE clients SET own_valid_rev = 5",
    "UPDATE clients SET own_valid_rev = 6",
    "UPDATE users SET valid_rev = 5",
    "UPDATE users SET valid_rev = 6",
    """INSERT INTO revoked_devices
       SELECT COALESCE(user_id::text, client_id), device_id, 5, '2026-11-22Z' FROM sessions""",
    """INSERT INTO revoked_devices
       SELECT COALESCE(user_id::text, client_id), device_id, 6, '2026-11-22Z' FROM sessions
       ON CONFLICT (subject, device_id) DO UPDATE SET valid_rev = 6""",
    """INSERT INTO revoked_devices
       SELECT COALESCE(user_id::text, client_id), 'another', 6, '2026-11-22Z' FROM sessions""",
    "UPDATE clients SET state = 2",
    "UPDATE clients SET state = 5",
    "UPDATE users SET disabled_at = '2026-11-22Z'",
    "DELETE FROM users",
    "UPDATE keys SET state = 4",
    "UPDATE keys SET state = 5",
    "DELETE FROM keys",
)
"""Each alone or with another; the session has revision 5."""


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=2)
    yield await make_world(database)
    await database.close()


async def says(conn: Connection, what: str, tables: str) -> bool:
    sql = f"SELECT FROM sessions s {tables} WHERE {what}"
    return await conn.fetchrow(sql, NOW) is not None


async def decided(conn: Connection, session: Session) -> Reason | None:
    """Why the domain refuses the session."""
    row = await conn.fetchrow(VIEW, session.lookup_id)
    assert row is not None
    try:
        require_live(view_from_row(row), NOW)
    except TokenServiceError as error:
        return error.reason
    return None


@pytest.mark.parametrize("own", [False, True])
async def test_the_database_and_the_domain_agree_on_what_is_live(world: World, own: bool) -> None:
    session = await world.issue(world.own_session() if own else world.session())
    await world.database.execute("UPDATE sessions SET rev = 5")
    now = "$1::timestamptz"
    seen = set()
    async with world.database.transaction() as conn:
        for changes in combinations((*CHANGES, "SELECT"), 2):
            await conn.execute("SAVEPOINT before")
            for change in changes:
                await conn.execute(change)
            reason = await decided(conn, session)
            expected = reason is None
            assert await says(conn, live(now), f", {LIVE_FROM}") is expected, changes
            assert await says(conn, live(now), VIEW_JOINS) is expected, changes
            unchanged = not any("UPDATE sessions" in change for change in changes)
            assert await says(conn, live_row(now), "") is unchanged, changes
            seen.add(reason)
            await conn.execute("ROLLBACK TO before")
    assert seen == {None, Reason.TOKEN_REVOKED, Reason.TOKEN_EXPIRED}
