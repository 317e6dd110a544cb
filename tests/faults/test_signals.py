"""A server that is asked to stop, and one that is frozen and goes on."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.request import urlopen

import asyncpg

from tests.faults.supervised import probed
from tests.support.api import exchange_id
from tests.support.callers import Callers
from tests.support.fixtures import StartServer
from tests.support.outcomes import outcome
from tests.support.ports import fixed_port
from tests.support.waiting import PATIENCE, until
from tests.support.world import World

if TYPE_CHECKING:
    from asyncpg import Record

    Connection = asyncpg.Connection[Record]

IN_FLIGHT = 4
QUICK = {"staleness_limit": "1s", "heartbeat": "400ms", "key_publish_lead": "2s"}
LONGER_THAN_THE_LIMIT = 1.3
"""Seconds. The paused process's own clock is what is tested, so this time must really pass."""


@asynccontextmanager
async def held_exchanges(world: World) -> AsyncIterator["Connection"]:
    """Have every change of a session wait within its statement. Yields a connection that is in no
    transaction: in one, the view of who waits would not move."""
    async with connected(world) as conn, connected(world) as observer:
        await conn.execute(
            """CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END $$"""
        )
        await conn.execute(
            """CREATE TRIGGER wait_here BEFORE UPDATE ON sessions
               FOR EACH ROW EXECUTE FUNCTION wait_here()"""
        )
        async with conn.transaction():
            await conn.execute("SELECT pg_advisory_xact_lock(1)")
            yield observer


@asynccontextmanager
async def connected(world: World) -> AsyncIterator["Connection"]:
    """A connection to the database."""
    conn = await asyncpg.connect(world.dsn)
    try:
        yield conn
    finally:
        await conn.close()


async def waiting_for_a_lock(conn: "Connection") -> int:
    """How many of the servers' statements wait for a row."""
    waiting: int = await conn.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return waiting


def calls_in_flight(metrics: str) -> int:
    """What the server counts. They share statements, so the database cannot tell."""
    with urlopen(f"http://{metrics}/metrics", timeout=PATIENCE) as page:
        found = re.search(
            rb'^token_service_rpc_active{work="unary"} (\d+)', page.read(), re.MULTILINE
        )
    return int(found[1]) if found else 0


async def test_sigterm_finishes_what_is_in_flight_and_refuses_what_is_new(
    world: World, start_server: StartServer
) -> None:
    metrics = f"127.0.0.1:{fixed_port()}"
    server = start_server(drain_delay="3s", postgres_timeout="20s", metrics_listen=metrics)
    async with Callers(world, server.address) as callers:
        opened = [await callers.own_session() for _ in range(IN_FLIGHT)]
        other = await callers.own_session()
        api = callers.client("api")
        async with held_exchanges(world) as observer:
            calls = [
                asyncio.create_task(api.exchange(one.session_token, exchange_id()))
                for one in opened
            ]

            async def all_wait() -> bool:
                if not await waiting_for_a_lock(observer):
                    return False
                return await asyncio.to_thread(calls_in_flight, metrics) == IN_FLIGHT

            await until(all_wait)
            assert await asyncio.to_thread(probed, metrics, "/readyz") == (200, "ok\n")
            stopping = asyncio.create_task(asyncio.to_thread(server.terminate))

            async def refuses() -> bool:
                return await outcome(callers.own_session()) == "SHUTTING_DOWN"

            await until(refuses)
            assert await outcome(api.exchange(other.session_token)) == "SHUTTING_DOWN"
            draining = (503, "the server is stopping\n")
            assert await asyncio.to_thread(probed, metrics, "/readyz") == draining
            assert await asyncio.to_thread(probed, metrics, "/livez") == (200, "ok\n")
            assert not any(call.done() for call in calls)
        finished = await asyncio.gather(*calls)
        assert await stopping == 0
    survivor = start_server()
    async with Callers(world, survivor.address) as callers:
        for reply in finished:
            following = await callers.client("api").exchange(reply.tokens.session_token)
            assert not following.replayed
        await callers.client("api").exchange(other.session_token)


async def test_a_frozen_node_never_believes_what_it_knew_before(
    world: World, start_server: StartServer
) -> None:
    """Questions that wait for it to wake up are the first that it answers."""
    first, frozen = (start_server(**QUICK) for _ in range(2))
    async with Callers(world, first.address) as one, Callers(world, frozen.address) as two:
        opened = [await one.own_session() for _ in range(8)]
        for tokens in opened:
            assert await two.gateway.verdict(tokens.access_tokens[0].token) == "ACTIVE"
        frozen.pause()
        try:
            for tokens in opened:
                await one.client("api").revoke(token=tokens.session_token)
            questions = [
                asyncio.create_task(outcome(two.gateway.verdict(tokens.access_tokens[0].token)))
                for tokens in opened * 8
            ]
            await asyncio.sleep(LONGER_THAN_THE_LIMIT)
        finally:
            frozen.resume()
        answers = set(await asyncio.gather(*questions))
        assert answers <= {"REVOKED", "STORE_UNAVAILABLE", "TRUST_STALE"}
        for tokens in opened:
            assert await two.gateway.verdict(tokens.access_tokens[0].token) == "REVOKED"
            exchanged = await outcome(two.client("api").exchange(tokens.session_token))
            assert exchanged == "TOKEN_REVOKED"
        again = await two.own_session()
        assert await one.gateway.verdict(again.access_tokens[0].token) == "ACTIVE"
