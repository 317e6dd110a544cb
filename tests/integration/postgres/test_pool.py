"""Calls to the database: bounded in time, safe to cancel, and honest about what failed."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.integration.postgres_world import until_blocked
from tests.support.waiting import patience
from token_service.adapters.postgres.pool import TELLING_SECONDS, Database
from token_service.domain import deadline
from token_service.domain.errors import Reason, TokenServiceError

AN_HOUR = 3600.0
SLEEPERS = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^SELECT pg_sleep'"


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """One connection: whatever is not given back is missed at once."""
    database = await Database.open(dsn, size=1)
    await database.execute("CREATE TABLE notes (id int PRIMARY KEY, note text, more jsonb)")
    yield database
    await database.close()


@pytest.fixture
async def other(dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(dsn, size=3, call_timeout=30)
    yield database
    await database.close()


async def value(database: Database, sql: str, *args: object) -> Any:
    row = await database.fetchrow(sql, *args)
    return None if row is None else row[0]


async def until_nobody_sleeps(database: Database) -> None:
    async with patience():
        while await value(database, SLEEPERS):
            await asyncio.sleep(0.01)


async def refused(call: Any) -> None:
    with pytest.raises(TokenServiceError) as refusal:
        await call
    assert refusal.value.reason is Reason.STORE_UNAVAILABLE
    assert refusal.value.retry_after is not None


async def test_calls_return_what_the_statement_does(database: Database) -> None:
    note = {"a": [1, "zwei", None]}

    assert await database.execute("INSERT INTO notes VALUES (1, 'x', $1)", note) == "INSERT 0 1"
    assert await database.fetchrow("SELECT * FROM notes WHERE id = 2") is None
    row = await database.fetchrow("SELECT * FROM notes WHERE id = $1", 1)
    assert row is not None
    assert tuple(row) == (1, "x", note)
    assert [tuple(one) for one in await database.fetch("SELECT id FROM notes")] == [(1,)]


async def test_a_statement_is_prepared_once(database: Database) -> None:
    for number in range(3):
        assert await value(database, "SELECT $1::int AS prepared_once", number) == number

    rows = await database.fetch(
        """SELECT generic_plans + custom_plans FROM pg_prepared_statements
           WHERE statement LIKE '%prepared_once' """
    )
    assert [row[0] for row in rows] == [3]


async def test_the_server_knows_who_asks_and_how_long_it_may_take(database: Database) -> None:
    assert await value(database, "SHOW application_name") == "token-service"
    assert await value(database, "SHOW statement_timeout") == "3s"
    assert await value(database, "SHOW idle_in_transaction_session_timeout") == "3s"


async def test_a_call_ends_with_its_deadline(dsn: str, other: Database) -> None:
    """And not with the statement, nor with the time that the pool gives a call by itself."""
    database = await Database.open(dsn, size=1, call_timeout=AN_HOUR)
    with deadline.until(0.2):
        await refused(database.fetchrow("SELECT pg_sleep(3600)"))

    assert await value(database, "SELECT 1") == 1
    await until_nobody_sleeps(other)
    await database.close()


async def test_a_call_without_a_deadline_ends_too(dsn: str) -> None:
    database = await Database.open(dsn, size=1, call_timeout=0.3)
    started = time.monotonic()
    await refused(database.execute("SELECT pg_sleep(3600)"))
    assert time.monotonic() - started >= 0.3
    await database.close()


async def test_nothing_is_sent_when_there_is_no_time_left(database: Database) -> None:
    with deadline.until(0.0):
        await refused(database.execute("INSERT INTO notes VALUES (1)"))
        with pytest.raises(TokenServiceError):
            async with database.transaction():
                pytest.fail("there is no time for a transaction")

    assert await value(database, "SELECT count(*) FROM notes") == 0


async def test_a_transaction_has_one_deadline_for_all_of_it(
    database: Database, other: Database
) -> None:
    async def slowly() -> None:
        async with database.transaction() as conn:
            await conn.execute("INSERT INTO notes VALUES (1)")
            for _ in range(100):
                await conn.execute("SELECT pg_sleep(0.05)")

    with deadline.until(0.3):
        await refused(slowly())

    assert await value(other, "SELECT count(*) FROM notes") == 0
    assert await value(database, "SELECT 1") == 1


async def test_a_full_pool_is_load_and_does_not_open_the_circuit(dsn: str) -> None:
    database = await Database.open(dsn, size=1, call_timeout=AN_HOUR)
    async with database._pool.acquire():
        with deadline.until(TELLING_SECONDS + 0.1):
            await asyncio.gather(*(refused(database.fetchrow("SELECT 1")) for _ in range(10)))

    assert await value(database, "SELECT 1") == 1
    await database.close()


async def test_a_store_that_does_not_answer_is_left_alone_for_a_while(dsn: str) -> None:
    now = 1000.0
    database = await Database.open(dsn, size=2, call_timeout=AN_HOUR, clock=lambda: now)

    for _ in range(10):  # too little time to tell
        with deadline.until(0.02):
            await refused(database.fetchrow("SELECT pg_sleep(60)"))
    assert await value(database, "SELECT 1") == 1
    for _ in range(5):
        with deadline.until(TELLING_SECONDS + 0.1):
            await refused(database.fetchrow("SELECT pg_sleep(60)"))
    for _ in range(10):
        await refused(database.fetchrow("SELECT 1"))
    now += 1.0

    assert await value(database, "SELECT 1") == 1
    assert await value(database, "SELECT 1") == 1
    await database.close()


async def test_a_cancelled_call_gives_its_connection_back(
    database: Database, other: Database
) -> None:
    for _ in range(2):
        call = asyncio.create_task(database.fetchrow("SELECT pg_sleep(60)"))
        async with patience():
            while await value(other, SLEEPERS) == 0:
                pass
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        assert await value(database, "SELECT 1") == 1
        await until_nobody_sleeps(other)


async def test_the_connection_of_a_cancelled_call_goes_on(
    database: Database, other: Database
) -> None:
    """Clients that give up do not cost a connection each."""
    before = await value(database, "SELECT pg_backend_pid()")
    for _ in range(3):
        call = asyncio.create_task(database.fetchrow("SELECT pg_sleep(0.1)"))
        async with patience():
            while await value(other, SLEEPERS) == 0:
                pass
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    assert await value(database, "SELECT pg_backend_pid()") == before


async def test_a_caller_who_leaves_while_waiting_for_a_connection_takes_none(
    database: Database,
) -> None:
    async with database.transaction():
        calls = [asyncio.create_task(database.fetchrow("SELECT 1")) for _ in range(5)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)

    assert await value(database, "SELECT 1") == 1


async def test_a_cancelled_transaction_is_undone(database: Database, other: Database) -> None:
    started = asyncio.Event()

    async def work() -> None:
        async with database.transaction() as conn:
            await conn.execute("INSERT INTO notes VALUES (1)")
            started.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    # The key is free again: nobody holds what the transaction had written.
    assert await other.execute("INSERT INTO notes VALUES (1)") == "INSERT 0 1"
    assert await value(database, "SELECT count(*) FROM notes") == 1


@pytest.mark.parametrize(
    "error", [TokenServiceError(Reason.ROLE_NOT_FOUND, "no such role"), KeyError("bug")]
)
async def test_an_error_in_the_block_undoes_it_and_is_raised_as_it_is(
    database: Database, error: Exception
) -> None:
    async def work() -> None:
        async with database.transaction() as conn:
            await conn.execute("INSERT INTO notes VALUES (1)")
            raise error

    with pytest.raises(type(error)) as raised:
        await work()

    assert raised.value is error
    assert await value(database, "SELECT count(*) FROM notes") == 0


async def test_a_mistake_in_a_statement_is_ours(database: Database) -> None:
    await database.execute("INSERT INTO notes VALUES (1)")

    with pytest.raises(asyncpg.UniqueViolationError):
        await database.execute("INSERT INTO notes VALUES (1)")
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.transaction() as conn:
            await conn.execute("INSERT INTO notes VALUES (1)")
    with pytest.raises(asyncpg.DataError):
        await database.execute("INSERT INTO notes VALUES ($1)", 2**40)
    await refused(database.execute("INSERT INTO notes VALUES ($1)", "one"))  # an int is ours

    assert await value(database, "SELECT 1") == 1


async def test_a_transaction_whose_error_was_swallowed_does_not_count_as_committed(
    database: Database,
) -> None:
    async def work() -> None:
        async with database.transaction() as conn:
            await conn.execute("INSERT INTO notes VALUES (1)")
            with pytest.raises(asyncpg.DivisionByZeroError):
                await conn.execute("SELECT 1 / 0")

    with pytest.raises(asyncpg.InFailedSQLTransactionError):
        await work()

    assert await value(database, "SELECT count(*) FROM notes") == 0


async def test_a_deferred_constraint_that_fails_at_the_commit_is_an_error(
    database: Database,
) -> None:
    await database.execute("CREATE TABLE pairs (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(asyncpg.UniqueViolationError):
        async with database.transaction() as conn:
            await conn.execute("INSERT INTO pairs VALUES (1), (1)")

    assert await value(database, "SELECT count(*) FROM pairs") == 0


async def test_a_write_whose_connection_is_lost_is_not_sent_again(
    database: Database, other: Database
) -> None:
    async with other.transaction() as conn:
        await conn.execute("LOCK TABLE notes")
        write = asyncio.create_task(database.execute("INSERT INTO notes VALUES (1)"))
        await until_blocked(other)
        await other.execute(
            """SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
               WHERE query LIKE 'INSERT INTO notes%'"""
        )
        await refused(write)

    assert await value(database, "SELECT count(*) FROM notes") == 0


async def test_a_transaction_whose_connection_is_lost_is_no_answer(
    database: Database, other: Database
) -> None:
    async def work() -> None:
        async with database.transaction() as conn:
            await conn.execute("INSERT INTO notes VALUES (1)")
            pid = await conn.fetchval("SELECT pg_backend_pid()")
            await other.execute("SELECT pg_terminate_backend($1, 5000)", pid)

    await refused(work())

    assert await value(database, "SELECT count(*) FROM notes") == 0


async def test_a_closed_pool_is_no_answer(dsn: str) -> None:
    database = await Database.open(dsn, size=1)
    await database.close()
    await database.close()

    await refused(database.fetchrow("SELECT 1"))
