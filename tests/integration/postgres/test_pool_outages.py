"""A server that is killed, or hangs: unavailable meanwhile, well afterwards."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.conftest import Stores
from tests.integration.postgres_world import NOW, World, advance_of, event, make_world, revocation
from tests.integration.trust.trust_sink import Sink, following
from tests.support.hands import Hands
from tests.support.waiting import patience
from token_service.adapters.embedded import EmbeddedPostgres
from token_service.adapters.postgres.failures import cause_of
from token_service.adapters.postgres.health import UnsafeStoreError, check_durability, inspect
from token_service.adapters.postgres.migrate import migrate
from token_service.adapters.postgres.outages import QUIET_SECONDS
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import TrustEntryKind

CALL = 2.0
AN_HOUR = 3600.0
SIZE = 4


@pytest.fixture(scope="module")
def server(open_dir: Path) -> Iterator[EmbeddedPostgres]:
    """A durable server that a test may kill."""
    with EmbeddedPostgres(open_dir / "killable") as server:
        yield server


@pytest.fixture
async def world(server: EmbeddedPostgres) -> AsyncIterator[World]:
    migrate(server.create_database("victim"))
    database = await Database.open(server.dsn_of("victim"), size=SIZE, call_timeout=CALL)
    yield await make_world(database)
    await database.close()
    server.drop_database("victim")


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture
async def patient(server: EmbeddedPostgres, world: World, clock: Hands) -> AsyncIterator[World]:
    """The same data for a node that waits for an answer for longer than any test takes. It tries
    a store that failed again when the clock is moved."""
    database = await Database.open(
        server.dsn_of("victim"), size=SIZE, call_timeout=AN_HOUR, clock=clock
    )
    yield replace(world, database=database, sessions=type(world.sessions)(database))
    await database.close()


@asynccontextmanager
async def down(server: EmbeddedPostgres) -> AsyncIterator[None]:
    """Killed without warning, and back at the end of the block."""
    server.crash()
    try:
        yield
    finally:
        server.start()


async def refused(call: Awaitable[Any]) -> BaseException | None:
    """The call is told that the store is unavailable; by what that was noticed, None where the
    store was not asked."""
    with pytest.raises(TokenServiceError) as refusal:
        await call
    assert refusal.value.reason is Reason.STORE_UNAVAILABLE
    return refusal.value.__cause__


async def until_back(world: World) -> None:
    async with patience():
        while True:
            try:
                await world.database.fetchrow("SELECT 1")
            except TokenServiceError:
                await asyncio.sleep(0.01)
            else:
                return


async def require_whole_pool(world: World) -> None:
    """Every connection of the pool can be had at the same time: none was lost for good."""
    async with AsyncExitStack() as stack:
        for _ in range(SIZE):
            conn = await stack.enter_async_context(world.database._pool.acquire())
            assert await conn.fetchval("SELECT 1") == 1


async def test_the_process_survives_a_restart_of_its_server(
    patient: World, server: EmbeddedPostgres, clock: Hands
) -> None:
    world = patient
    session = await world.issue()
    revocations = RevocationStore(world.database)
    sink = Sink()
    async with following(world, sink) as follower:
        await follower.refresh()
        async with down(server):
            calls: list[Awaitable[Any]] = [
                world.sessions.view(session.lookup_id),
                world.sessions.advance(advance_of(session), event("exchange")),
                world.sessions.insert(world.session(), world.guard(), event("issue")),
                revocations.revoke(revocation(TrustEntryKind.TOKEN, "t"), NOW),
                follower.refresh(),
            ]
            for call in calls:
                await refused(call)
            # By now the circuit is open: nobody waits for what is known to be out of reach.
            for _ in range(3):
                await refused(world.sessions.view(session.lookup_id))
            for _ in range(20):
                assert await refused(world.sessions.view(session.lookup_id)) is None

        clock.now += 1.0
        await until_back(world)
        view = await world.sessions.view(session.lookup_id)
        assert view is not None
        assert view.session == session
        assert await world.sessions.advance(advance_of(session), event("exchange")) == 0
        target = revocation(TrustEntryKind.SESSION, session.session_id)
        assert (await revocations.revoke(target, NOW)).revision == 1
        await sink.until(lambda: sink.state.revision == 1)
    await require_whole_pool(world)


async def test_what_was_acknowledged_survives_a_kill(
    world: World, server: EmbeddedPostgres
) -> None:
    revocations = RevocationStore(world.database)
    sessions = [await world.issue() for _ in range(20)]
    exchanged = sessions[10:]
    for session in sessions[:10]:
        await revocations.revoke(revocation(TrustEntryKind.SESSION, session.session_id), NOW)
    for session in exchanged:
        assert await world.sessions.advance(advance_of(session), event("exchange")) is not None

    async with down(server):
        pass
    await until_back(world)

    assert [await world.lives(session) for session in sessions] == [False] * 10 + [True] * 10
    for session in exchanged:
        stored = await world.sessions.get(session.session_id)
        assert stored is not None
        assert stored.generation == 2
    assert await world.value("SELECT count(*) FROM audit_log WHERE action = 'exchange'") == 10


async def test_revocations_during_a_kill_are_acknowledged_or_not_but_never_lost(
    world: World, server: EmbeddedPostgres
) -> None:
    revocations = RevocationStore(world.database, max_batch=4)
    sessions = [await world.issue() for _ in range(200)]
    asked = [
        asyncio.create_task(
            revocations.revoke(revocation(TrustEntryKind.SESSION, session.session_id), NOW)
        )
        for session in sessions
    ]
    while not asked[20].done():
        await asyncio.sleep(0)
    async with down(server):
        await asyncio.wait(asked)
    await until_back(world)
    await require_whole_pool(world)

    acknowledged = [task.exception() is None for task in asked]
    dead = [not await world.lives(session) for session in sessions]
    assert 20 < sum(acknowledged) < 200
    assert all(is_dead for is_dead, told in zip(dead, acknowledged, strict=True) if told)
    assert await world.value("SELECT count(*) FROM trust_log") == sum(dead)
    assert await world.value("SELECT revision FROM trust_head") == sum(dead)
    assert await world.value("SELECT count(*) FROM audit_log WHERE action ~ '^revoke'") == sum(dead)


async def test_a_connection_that_hangs_costs_one_timeout(world: World) -> None:
    async with world.database.transaction() as conn:
        pid = await conn.fetchval("SELECT pg_backend_pid()")
    os.kill(pid, signal.SIGSTOP)
    try:
        outcomes = await asyncio.gather(
            *(world.database.fetchrow("SELECT pg_backend_pid()") for _ in range(4)),
            return_exceptions=True,
        )
        assert sum(isinstance(outcome, TokenServiceError) for outcome in outcomes) == 1
        assert await world.value("SELECT 1") == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    await require_whole_pool(world)


async def test_opening_tells_a_missing_server_from_wrong_credentials(
    server: EmbeddedPostgres, world: World, tmp_path: Path
) -> None:
    async def why(dsn: str) -> str:
        with pytest.raises(TokenServiceError) as refusal:
            await Database.open(dsn, size=1)
        return str(cause_of(refusal.value))

    right = server.dsn_of("victim")
    password = right.partition(":")[2].partition(":")[2].partition("@")[0]
    nowhere = f"postgres://postgres@/postgres?host={tmp_path}"
    assert await why(nowhere) == "there is no such socket"
    wrong = right.replace(password, "wrong")
    assert await why(wrong) == "the password is refused (SQLSTATE 28P01)"
    missing = server.dsn_of("nothing_here")
    assert await why(missing) == "there is no such database (SQLSTATE 3D000)"


# --- doctor -------------------------------------------------------------------------------------


async def test_a_durable_primary_can_be_trusted(world: World) -> None:
    health = await check_durability(world.database)

    assert health.is_primary
    assert health.version >= 180000
    assert (health.unusable(), health.lossy()) == ((), ())


async def test_a_server_that_may_forget_is_refused(embedded: Stores, dsn: str) -> None:
    database = await Database.open(dsn, size=1)

    with pytest.raises(UnsafeStoreError, match="fsync is off; full_page_writes is off"):
        await check_durability(database)
    assert (await check_durability(database, allow_lossy=True)).fsync == "off"
    await database.close()


async def test_commits_that_do_not_wait_are_refused(world: World, server: EmbeddedPostgres) -> None:
    await world.database.execute("ALTER DATABASE victim SET synchronous_commit = off")
    database = await Database.open(server.dsn_of("victim"), size=1)

    with pytest.raises(UnsafeStoreError, match="synchronous_commit is off"):
        await check_durability(database)
    await database.close()


async def test_what_cannot_be_written_is_refused_in_any_case(world: World) -> None:
    health = await inspect(world.database)

    assert replace(health, version=140012).unusable() != ()
    assert replace(health, is_primary=False).unusable() == (
        "the server is a standby, the primary is needed",
    )
    assert replace(health, is_writable=False).unusable() == ("default_transaction_read_only is on",)
    assert replace(health, fsync=None).lossy() == ()


async def test_while_no_commit_gets_through_no_outage_is_over(
    server: EmbeddedPostgres, world: World, clock: Hands
) -> None:
    """Reads go on without the standby, and say nothing of what failed for it."""
    del world
    database = await Database.open(server.dsn_of("victim"), size=1, clock=clock)
    database.commits = lambda: False
    with capture_logs() as lines:
        with pytest.raises(TokenServiceError):
            await database.fetchrow("SELECT FROM missing")
        clock.now += QUIET_SECONDS
        await database.fetchrow("SELECT 1")
        assert [line["event"] for line in lines] == ["postgres_fails"]
        database.commits = lambda: True
        await database.fetchrow("SELECT 1")
    assert [line["event"] for line in lines] == ["postgres_fails", "postgres_works"]
    await database.close()
