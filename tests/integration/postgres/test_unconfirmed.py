"""A commit that waits for its standby is left to wait: nobody sees it before the standby has it.

A cancel request would make it visible, though a failover loses it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from tests.integration.postgres_world import NOW, World, advance_of, event, make_world, revocation
from tests.support.waiting import patience
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.postgres.durability import Durability
from token_service.adapters.postgres.migrate import migrate
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.sessions.store import SessionStore
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.domain import deadline
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import TrustEntryKind
from token_service.domain.sessions.session import Session

CALL = 0.6
"""The server's own limit for a statement is a second longer."""

WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
END_WAITS = (
    "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
)
WAITING_LONG = f"{WAITING} AND now() - query_start > interval '2.2 seconds'"


@pytest.fixture(scope="module")
def server(open_dir: Path) -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres(open_dir / "unconfirmed") as server:
        yield server


@pytest.fixture
async def world(server: EmbeddedPostgres) -> AsyncIterator[World]:
    """What looks at the outcome."""
    migrate(server.create_database("victim"))
    database = await Database.open(server.dsn_of("victim"), size=2)
    yield await make_world(database)
    await database.close()
    server.drop_database("victim")


@pytest.fixture
async def node(server: EmbeddedPostgres, world: World) -> AsyncIterator[World]:
    """The same data for a node that is soon out of time."""
    database = await Database.open(server.dsn_of("victim"), size=4, call_timeout=CALL)
    yield replace(world, database=database, sessions=SessionStore(database))
    await database.close()


async def until_commits_wait(world: World, dsn: str) -> None:
    """Until the server has commits wait for the standby. Each of its processes takes note of a
    changed setting by itself, so that only a commit that does wait shows it."""
    async with patience():
        while True:
            probe = await asyncpg.connect(dsn)
            commit = asyncio.create_task(
                probe.execute("SELECT pg_logical_emit_message(true, 'probe', '')")
            )
            try:
                while not commit.done():
                    if await world.value(WAITING):
                        return
            finally:
                probe.terminate()
                await asyncio.gather(commit, return_exceptions=True)


@asynccontextmanager
async def no_standby(world: World, dsn: str) -> AsyncIterator[None]:
    """Within the block commits wait for a standby that is not there, and after it they are over."""
    await world.database.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    await world.database.execute("SELECT pg_reload_conf()")
    await until_commits_wait(world, dsn)
    try:
        yield
    finally:
        await world.database.execute("ALTER SYSTEM RESET synchronous_standby_names")
        await world.database.execute("SELECT pg_reload_conf()")
        async with patience():
            while await world.value(WAITING):
                await asyncio.sleep(0.01)


async def out_of_time(call: Awaitable[object]) -> None:
    with pytest.raises(TokenServiceError) as refusal:
        await call
    assert refusal.value.reason is Reason.STORE_UNAVAILABLE


async def out_of_its_callers_time(call: Awaitable[object]) -> None:
    with deadline.until(0.2):
        await out_of_time(call)


def given_up_by_its_caller(world: World) -> Callable[[Awaitable[object]], Awaitable[None]]:
    async def given_up(call: Awaitable[object]) -> None:
        before = await world.value(WAITING)
        task = asyncio.ensure_future(call)
        async with patience():
            while await world.value(WAITING) == before:
                await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    return given_up


async def test_nothing_of_ours_ends_a_commits_wait(
    world: World, node: World, server: EmbeddedPostgres
) -> None:
    """Neither our time limits, nor a caller's that is nearer, nor a caller's going, nor the time
    that the server gives a statement; in a statement of its own and in a transaction."""
    given_up = given_up_by_its_caller(world)
    ways = (out_of_time, out_of_its_callers_time, given_up)
    sessions: list[Session] = [await world.issue() for _ in range(2 * len(ways))]

    async def in_a_transaction(session: Session) -> None:
        async with node.database.transaction() as conn:
            await conn.execute(
                "UPDATE sessions SET generation = 2 WHERE session_id = $1", session.session_id
            )

    async with no_standby(world, server.dsn_of("victim")):
        for way, session in zip(ways, sessions, strict=False):
            await way(node.sessions.advance(advance_of(session), event("exchange")))
        for way, session in zip(ways, sessions[len(ways) :], strict=True):
            await way(in_a_transaction(session))
        async with patience():
            while await world.value(WAITING_LONG) < len(sessions):
                await asyncio.sleep(0.01)
        assert await world.value("SELECT sum(generation) FROM sessions") == len(sessions)

    assert await world.value("SELECT sum(generation) FROM sessions") == 2 * len(sessions)
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'exchange'") == 3


async def test_a_retry_is_not_told_of_what_nobody_confirms(
    world: World, node: World, server: EmbeddedPostgres
) -> None:
    session = await world.issue()
    epoch = str(await world.value("SELECT epoch FROM trust_head"))
    async with no_standby(world, server.dsn_of("victim")):
        await out_of_time(node.sessions.advance(advance_of(session), event("exchange")))
        # A failover could still lose the exchange that it would find.
        await out_of_time(Durability(node.database).settle(epoch))

    await Durability(node.database).settle(epoch)
    stored = await world.sessions.get(session.session_id)
    assert stored is not None
    assert stored.exchange_fingerprint == advance_of(session).exchange_fingerprint


async def test_a_revocation_that_nobody_confirms_is_unknown_and_not_seen(
    world: World, node: World, server: EmbeddedPostgres
) -> None:
    session = await world.issue()
    revocations = RevocationStore(node.database)
    async with no_standby(world, server.dsn_of("victim")):
        of_session = revocation(TrustEntryKind.SESSION, session.session_id)
        await out_of_time(revocations.revoke(of_session, NOW))
        async with patience():
            while await world.value(WAITING_LONG) < 1:
                await asyncio.sleep(0.01)
        assert await world.lives(session)

    assert not await world.lives(session)
    assert await world.value("SELECT revision FROM trust_head") == 1
    await revocations.close()


@pytest.fixture
async def quiet(server: EmbeddedPostgres, world: World) -> AsyncIterator[World]:
    """The same data for a role that is to get no warnings."""
    await world.database.execute("ALTER DATABASE victim SET client_min_messages = error")
    database = await Database.open(server.dsn_of("victim"), size=2, call_timeout=60)
    yield replace(world, database=database, sessions=SessionStore(database))
    await database.close()


async def test_a_wait_that_an_operator_ends_is_noticed_whatever_warnings_are_wanted(
    world: World, quiet: World, server: EmbeddedPostgres
) -> None:
    session = await world.issue()
    async with no_standby(world, server.dsn_of("victim")):
        call = quiet.sessions.advance(advance_of(session), event("exchange"))
        advancing = asyncio.ensure_future(call)
        async with patience():
            while not advancing.done():
                await world.value(END_WAITS)
                await asyncio.sleep(0.01)
        await out_of_time(advancing)
