"""A revocation succeeds however many descendants it has, in transactions of a bounded size."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest

from tests.integration.postgres_world import (
    NOW,
    PHONE,
    World,
    add_client,
    add_key,
    event,
    holding,
    make_world,
    revocation,
    until_blocked,
)
from tests.support.waiting import patience
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust.cascade import ABANDONED
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.adapters.postgres.trust_head import HOLD
from token_service.domain import deadline
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import TrustEntryKind
from token_service.domain.sessions.session import Session
from token_service.domain.trust.revocation import Revocation

pytestmark = pytest.mark.slow  # it is about calls that take longer than they may

CHILDREN = 40
SOME = 15
FEW = 5
SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql
AS 'BEGIN PERFORM pg_sleep(0.05); RETURN NEW; END';
CREATE TRIGGER slow BEFORE UPDATE OF revoked_at ON sessions FOR EACH ROW EXECUTE FUNCTION slow();
"""
"""To revoke all children takes twice the time that a call has, to revoke a few a quarter."""


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=4, call_timeout=1)
    yield await make_world(database)
    await database.close()


@pytest.fixture
async def revocations(world: World) -> AsyncIterator[RevocationStore]:
    store = RevocationStore(world.database, max_descendants=FEW)
    yield store
    await store.close()


async def family(world: World, children: int = CHILDREN) -> Session:
    """A session of a client, device and mint key of its own, which let `children` in."""
    await add_client(world, "kiosk")
    await add_key(world, "0badcafe")
    device = replace(PHONE, device_id="lost")
    parent = await world.issue(world.session(client_id="kiosk", device=device, mint_kid="0badcafe"))
    await copies(world, await world.issue(below(world, parent)), children - 1)
    return parent


def below(world: World, parent: Session) -> Session:
    return world.session(parent_session_id=parent.session_id, pairing_id=uuid4())


async def copies(world: World, one: Session, count: int) -> None:
    """More sessions that are let in by who let `one` in."""
    columns = await world.value(
        """SELECT string_agg(column_name, ', ') FROM information_schema.columns
           WHERE table_name = 'sessions'
             AND column_name NOT IN ('session_id', 'lookup_id', 'pairing_id')"""
    )
    await world.database.execute(
        f"""INSERT INTO sessions (session_id, lookup_id, pairing_id, {columns})
            SELECT gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), {columns}
            FROM sessions, generate_series(1, $2::int)
            WHERE session_id = $1""",  # noqa: S608 - names of columns
        one.session_id,
        count,
    )


def revoking(kind: str, world: World, parent: Session) -> Revocation:
    return {
        "session": revocation(TrustEntryKind.SESSION, parent.session_id),
        "device": revocation(TrustEntryKind.SUBJECT_DEVICE, world.user_id, device_id="lost"),
        "client": revocation(TrustEntryKind.CLIENT, "kiosk"),
        "key": revocation(TrustEntryKind.KEY, "0badcafe"),
    }[kind]


async def left(world: World, parent: Session) -> int:
    """How many children are not revoked. Each other has an entry and an audit row."""
    of_children = "IN (SELECT session_id::text FROM sessions WHERE parent_session_id = $1)"
    row = await world.database.fetchrow(
        f"""SELECT h.revision, (SELECT count(*) FROM trust_log) AS entries,
                count(*) AS children, count(s.revoked_at) AS revoked,
                (SELECT count(*) FROM trust_log WHERE id {of_children}) AS told,
                (SELECT count(*) FROM audit_log
                 WHERE action = 'session.revoke' AND target {of_children}) AS audited
            FROM trust_head h, sessions s WHERE s.parent_session_id = $1
            GROUP BY h.revision""",  # noqa: S608 - a constant
        parent.session_id,
    )
    assert row is not None
    assert row["revision"] == row["entries"]
    assert row["revoked"] == row["told"] == row["audited"]
    return int(row["children"] - row["revoked"])


async def over(world: World) -> bool:
    return not await world.value("SELECT count(*) FROM cascades")


async def until_begun(world: World) -> None:
    """Return once the first descendants are revoked."""
    async with patience():
        while await world.value("SELECT revision FROM trust_head") < FEW:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["session", "client"])
async def test_a_revocation_may_take_longer_than_a_call(
    world: World, revocations: RevocationStore, kind: str
) -> None:
    parent = await family(world)
    await world.database.execute(SLOW)
    done = await revocations.revoke(revoking(kind, world, parent), NOW)
    assert await left(world, parent) == 0
    assert done.revision == await world.value("SELECT revision FROM trust_head")
    assert done.sessions == CHILDREN + (kind in ("session", "device"))
    assert await over(world)


async def test_a_client_may_be_disabled_for_longer_than_a_call(world: World) -> None:
    parent = await family(world)
    await world.database.execute(SLOW)
    clients = ClientStore(world.database, max_descendants=FEW)
    done = await clients.set_enabled("kiosk", False, event("client.disable"))
    assert done is not None
    assert await left(world, parent) == 0
    assert done[1] == await world.value("SELECT revision FROM trust_head")
    assert await over(world)


async def test_what_a_caller_had_no_time_for_goes_on(
    world: World, revocations: RevocationStore
) -> None:
    """The revocation itself holds by then, and who asks again is answered once all is done."""
    parent = await family(world, SOME)
    await world.database.execute(SLOW)
    asked = revocation(TrustEntryKind.CLIENT, "kiosk")
    with deadline.until(0.3), pytest.raises(TokenServiceError) as raised:
        await revocations.revoke(asked, NOW)
    assert raised.value.reason is Reason.STORE_UNAVAILABLE
    assert not await world.lives(parent)
    assert await left(world, parent) > 0
    await revocations.revoke(asked, NOW)
    assert await left(world, parent) == 0


async def test_disabling_again_finishes_what_was_broken_off(world: World) -> None:
    parent = await family(world, SOME)
    await world.database.execute(SLOW)
    clients = ClientStore(world.database, max_descendants=FEW)
    disabling = asyncio.create_task(clients.set_enabled("kiosk", False, event("client.disable")))
    await until_begun(world)
    await clients.close()
    with pytest.raises(asyncio.CancelledError):
        await disabling
    assert await left(world, parent) > 0
    again = ClientStore(world.database, max_descendants=2 * FEW)
    done = await again.set_enabled("kiosk", False, event("client.disable"))
    assert done is not None
    assert await left(world, parent) == 0
    assert done[1] == await world.value("SELECT revision FROM trust_head")


@pytest.mark.parametrize("kind", ["device", "key"])
async def test_what_a_process_left_is_finished_by_another(
    world: World, revocations: RevocationStore, kind: str
) -> None:
    """It reaches what it would have reached, and nobody who logged in since."""
    parent = await family(world, SOME)
    await world.database.execute(SLOW)
    asked = asyncio.create_task(revocations.revoke(revoking(kind, world, parent), NOW))
    await until_begun(world)
    await revocations.close()
    with pytest.raises(asyncio.CancelledError):
        await asked
    device = replace(PHONE, device_id="lost")
    late = await world.issue(world.session(client_id="kiosk", device=device))
    let_in = await world.issue(below(world, late))
    other = RevocationStore(world.database, max_descendants=FEW)
    await other.resume(NOW + ABANDONED / 2)
    assert await left(world, parent) > 0
    async with patience():
        while not await over(world):  # what was broken off may hold the row for a moment
            await other.resume(NOW + 2 * ABANDONED)
    assert await left(world, parent) == 0
    assert await world.lives(let_in)


async def test_who_is_let_in_meanwhile_goes_too(world: World, revocations: RevocationStore) -> None:
    """By a descendant that is not reached yet, in a collection that has not committed."""
    parent = await family(world)
    await world.database.execute(SLOW)
    asked = asyncio.create_task(
        revocations.revoke(revocation(TrustEntryKind.SESSION, parent.session_id), NOW)
    )
    await until_begun(world)
    async with holding(world.database, HOLD):
        await until_blocked(world.database)
        children = await world.database.fetch(
            "SELECT session_id FROM sessions WHERE parent_session_id = $1 AND revoked_at IS NULL",
            parent.session_id,
        )
        late = [
            await world.issue(
                world.session(parent_session_id=child["session_id"], pairing_id=uuid4())
            )
            for child in children
        ]
    done = await asked
    assert done.sessions == 1 + CHILDREN + len(late)
    assert late
    assert await world.value("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0


@pytest.mark.parametrize("kind", ["session", "device", "client", "key"])
async def test_no_statement_reads_all_sessions(world: World, kind: str) -> None:
    """Although the statistics say that all paired sessions have the same parent."""
    count = 3_000
    parent = await family(world, count)
    await world.database.execute("ANALYZE sessions")
    before = await rows_read(world)
    store = RevocationStore(world.database, max_descendants=50)
    await store.revoke(revoking(kind, world, parent), NOW)
    assert await rows_read(world) - before <= 10 * count
    assert await left(world, parent) == 0


async def rows_read(world: World) -> int:
    """Rows of sessions that were read without an index so far, by the statements that are over."""
    await world.database.execute("SELECT pg_stat_force_next_flush()")
    read = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'sessions'"
    return int(await world.value(read))
