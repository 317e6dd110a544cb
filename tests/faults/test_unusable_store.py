"""A database that answers and cannot be used: unavailable meanwhile, never a definite answer, one
line in the log that says why, and no traceback."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import pytest

from tests.faults.unusable import PATIENT, UNAVAILABLE, lines, require_no_traceback, works
from tests.support.api import Api, exchange_id
from tests.support.callers import Callers
from tests.support.fixtures import StartServer
from tests.support.outcomes import all_at_once, outcome, reasons, replies
from tests.support.waiting import until
from tests.support.world import World
from tokenservice.v1 import token_service_pb2 as tokens
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as users

Admin: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PASSWORD = "of-the-service"
MOST_CONNECTIONS = 10 + 10 + 5
"""Of one node: its two pools, and those of its own for the trust log and the wake-ups."""


@pytest.fixture
async def admin(world: World) -> AsyncIterator[Admin]:
    connection = await asyncpg.connect(world.dsn)
    yield connection
    await connection.close()


FAULTS: tuple[tuple[str, str, str, str], ...] = (
    (
        "ALTER TABLE sessions RENAME TO mislaid",
        "ALTER TABLE mislaid RENAME TO sessions",
        "postgres_fails",
        "a table is missing: is the database migrated?",
    ),
    (
        "ALTER TABLE sessions RENAME COLUMN lookup_id TO mislaid",
        "ALTER TABLE sessions RENAME COLUMN mislaid TO lookup_id",
        "postgres_fails",
        "a column is missing: is the database migrated?",
    ),
    (
        "ALTER TABLE sessions ALTER COLUMN lookup_id TYPE text",
        "ALTER TABLE sessions ALTER COLUMN lookup_id TYPE uuid USING lookup_id::uuid",
        "postgres_fails",
        "a column has another type: was it migrated by something else?",
    ),
    (
        "REVOKE ALL ON sessions FROM service",
        "GRANT ALL ON sessions TO service",
        "postgres_fails",
        "the user lacks a privilege",
    ),
    (
        """CREATE FUNCTION damaged() RETURNS trigger LANGUAGE plpgsql AS
           $$BEGIN RAISE EXCEPTION 'invalid page' USING ERRCODE = 'XX001'; END$$;
           CREATE TRIGGER damaged BEFORE UPDATE ON sessions EXECUTE FUNCTION damaged()""",
        "DROP TRIGGER damaged ON sessions",
        "postgres_fails",
        "data of the database is damaged",
    ),
    (
        "CREATE TABLE kept AS TABLE trust_head; DELETE FROM trust_head",
        "INSERT INTO trust_head SELECT * FROM kept",
        "trust_follower_lost",
        "the row of trust_head is missing",
    ),
)
"""What breaks the database, what mends it, and the event and cause that the log tells."""


@pytest.fixture
async def as_service(world: World, admin: Admin) -> AsyncIterator[World]:
    """The world for a user of the database who owns nothing in it, called "service"."""
    await admin.execute(
        f"""CREATE ROLE service LOGIN PASSWORD '{PASSWORD}';
            GRANT ALL ON ALL TABLES IN SCHEMA public TO service;
            GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO service"""
    )
    scheme, _, place = world.dsn.partition("://")
    dsn = f"{scheme}://service:{PASSWORD}@{place.rpartition('@')[2]}"
    yield world.moved_to(dsn, world.redis_url)
    await admin.execute("DROP OWNED BY service; DROP ROLE service")


async def test_what_cannot_be_used_is_unavailable_and_told_once(
    as_service: World, admin: Admin, start_server: StartServer
) -> None:
    server = start_server(**PATIENT, postgres_dsn=as_service.dsn)
    async with Callers(as_service, server.address) as callers:
        person = await callers.new_person()
        token = (await callers.log_in(person)).session_token
        idle = (await callers.log_in(person)).session_token
        for breaking, mending, event, _ in FAULTS:
            told = len(lines(server, event))
            await admin.execute(breaking)
            for _ in range(3):
                done = await outcome(callers.log_in(person))
                assert not isinstance(done, str) or done in UNAVAILABLE
                assert await outcome(callers.web.exchange(token, exchange_id())) in UNAVAILABLE
            revoked = await outcome(callers.web.revoke(token=idle))
            assert not isinstance(revoked, str) or revoked in UNAVAILABLE
            await until(lambda: len(lines(server, event)) > told)  # noqa: B023 - at once
            await admin.execute(mending)
            token = await works(callers, token)
    for _, _, event, cause in FAULTS:
        assert [line["cause"] for line in lines(server, event)].count(cause) == 1
    require_no_traceback(server)


async def terminate_all(admin: Admin) -> None:
    """End every connection of the server to this database."""
    await admin.execute(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND pid <> pg_backend_pid()"""
    )


async def connections_made(admin: Admin) -> int:
    """How many connections to this database have been made since it was created."""
    await admin.execute("SELECT pg_stat_clear_snapshot()")
    made = await admin.fetchval(
        "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
    )
    return int(made)


async def test_a_login_that_is_refused_later_is_unavailable(
    as_service: World, admin: Admin, start_server: StartServer
) -> None:
    """A password that was rotated, or a changed pg_hba.conf: connections that there are go on, and
    once they are gone everything waits for the login."""
    server = start_server(**PATIENT, postgres_dsn=as_service.dsn)
    async with Callers(as_service, server.address) as callers:
        person = await callers.new_person()
        token = (await callers.log_in(person)).session_token
        await admin.execute("ALTER ROLE service PASSWORD 'another'")
        for _ in range(5):
            token = await works(callers, token)
        await terminate_all(admin)
        await until(lambda: lines(server, "postgres_fails"))
        for _ in range(20):
            assert await outcome(callers.web.exchange(token, exchange_id())) in UNAVAILABLE
        await admin.execute(f"ALTER ROLE service PASSWORD '{PASSWORD}'")
        await works(callers, token)
    refused = [line for line in lines(server, "postgres_fails") if line["sqlstate"] == "28P01"]
    assert [line["cause"] for line in refused] == ["the password is refused"]
    require_no_traceback(server)


async def test_a_server_without_slots_costs_time_and_no_connection(
    as_service: World, admin: Admin, start_server: StartServer
) -> None:
    """With one connection left to it, the node does everything over that one."""
    server = start_server(**PATIENT, postgres_dsn=as_service.dsn)
    async with Callers(as_service, server.address) as callers:
        people = [await callers.new_person() for _ in range(4)]
        opened = [(await callers.log_in(person)).session_token for person in people]
        held = await admin.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = 'service'"
        )
        await admin.execute(f"ALTER ROLE service CONNECTION LIMIT {held - 1}")
        before = await connections_made(admin)
        for _ in range(5):
            done = await all_at_once(callers.web.exchange(token, exchange_id()) for token in opened)
            assert reasons(done) == set()
            opened = [reply.tokens.session_token for reply in replies(done)]
            assert reasons(await all_at_once(map(callers.log_in, people))) == set()
        assert await connections_made(admin) == before
        await admin.execute("ALTER ROLE service CONNECTION LIMIT -1")
    require_no_traceback(server)


async def test_connections_that_are_ended_again_and_again_are_made_again(
    as_service: World, admin: Admin, start_server: StartServer
) -> None:
    """Calls in flight are told so, the next ones find a connection at once."""
    server = start_server(**PATIENT, postgres_dsn=as_service.dsn)
    rounds = 4
    async with Callers(as_service, server.address) as callers:
        people = [await callers.new_person() for _ in range(4)]
        opened = [(await callers.log_in(person)).session_token for person in people]
        before = await connections_made(admin)
        for _ in range(rounds):
            await terminate_all(admin)
            opened = [await works(callers, token) for token in opened]
            done = await all_at_once(callers.web.exchange(token, exchange_id()) for token in opened)
            assert reasons(done) == set()
            opened = [reply.tokens.session_token for reply in replies(done)]
        assert await connections_made(admin) - before <= rounds * MOST_CONNECTIONS
    require_no_traceback(server)


async def test_a_primary_that_is_read_only_is_read(
    as_service: World, admin: Admin, start_server: StartServer
) -> None:
    server = start_server(**PATIENT, postgres_dsn=as_service.dsn)
    async with Callers(as_service, server.address) as callers:
        person = await callers.new_person()
        token = (await callers.log_in(person)).session_token
        await admin.execute("ALTER ROLE service SET default_transaction_read_only = on")
        await terminate_all(admin)
        await until(lambda: lines(server, "trust_follower_back"))
        assert await outcome(callers.web.exchange(token, exchange_id())) in UNAVAILABLE
        before = await connections_made(admin)
        for _ in range(20):
            done = await all_at_once(
                call
                for _ in range(5)
                for call in (
                    callers.web.exchange(token, exchange_id()),
                    callers.admin.users.ListUsers(
                        users.ListUsersRequest(), metadata=callers.admin.metadata
                    ),
                )
            )
            assert reasons(done[0::2]) <= UNAVAILABLE
            assert reasons(done[1::2]) == set()
        # Replaced once, in case it is a primary no more.
        assert await connections_made(admin) - before <= 2 * MOST_CONNECTIONS
        await admin.execute("ALTER ROLE service RESET default_transaction_read_only")
        await terminate_all(admin)
        await works(callers, token)
    [told] = [line for line in lines(server, "postgres_fails") if line["sqlstate"] == "25006"]
    assert told["cause"] == "the server is read-only"
    require_no_traceback(server)


async def leave_early(
    web: Api, exchange: tokens.ExchangeRequest, issue: tokens.IssueRequest
) -> None:
    """Make calls that are given up by the client or end at its deadline, sooner and later."""
    for number in range(12):
        left = 0.01 + 0.03 * number
        calls: list[Any] = [
            web.tokens.Exchange(exchange, metadata=web.metadata, timeout=left),
            web.tokens.Issue(issue, metadata=web.metadata, timeout=left),
        ]
        if number % 2:
            await all_at_once(calls)
        else:
            await asyncio.sleep(left / 2)
            for call in calls:
                call.cancel()


async def test_clients_that_leave_while_the_store_fails_leave_no_traceback(
    as_service: World, admin: Admin, start_server: StartServer
) -> None:
    """Neither ours nor a library's, whatever moment they leave at; not even at the end."""
    server = start_server(**PATIENT, postgres_dsn=as_service.dsn)
    async with Callers(as_service, server.address) as callers:
        person = await callers.new_person()
        token = (await callers.log_in(person)).session_token
        web = callers.web
        request = tokens.ExchangeRequest(token=token)
        asking = tokens.IssueRequest(
            password=tokens.PasswordCredential(username=person.username, password=person.password),
            platform=types.PLATFORM_WEB,
            audiences=["orders"],
        )
        async with admin.transaction():
            await admin.execute("LOCK TABLE sessions")
            await leave_early(web, request, asking)
        await admin.execute("ALTER TABLE sessions RENAME TO mislaid")
        await leave_early(web, request, asking)
        await admin.execute("ALTER TABLE mislaid RENAME TO sessions")
        await terminate_all(admin)
        await works(callers, token)
    assert await asyncio.to_thread(server.terminate) == 0
    require_no_traceback(server)
