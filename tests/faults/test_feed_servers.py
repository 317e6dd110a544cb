"""Servers and networks fail under a local validator, and it says what it does not know.

Whatever happens, a token is not accepted that was revoked longer ago than the staleness limit;
and the validator recovers by itself.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from typing import Any, Self

import asyncpg
import pytest
import pytest_asyncio

from tests.faults.feed_watch import Showing
from tests.faults.proxy import Proxy
from tests.support.callers import Callers
from tests.support.ports import fixed_port
from tests.support.servers import ServerProcess
from tests.support.validators import validating
from tests.support.waiting import PATIENCE, until
from tests.support.world import World
from token_service.adapters.postgres.connecting import Source
from token_service.app import upkeep
from tokenservice import OnStale, Validator
from tokenservice.core import Verdict
from tokenservice.v1 import types_pb2 as types

LIMIT = 1.0
SERVER = {"staleness_limit": "1s", "heartbeat": "300ms"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def pair(shared_world: World) -> AsyncIterator[tuple[ServerProcess, ServerProcess]]:
    """Two servers that read the log often."""
    environment = shared_world.environment(**SERVER)
    servers = await asyncio.gather(
        *(asyncio.to_thread(ServerProcess, environment) for _ in range(2))
    )
    yield servers[0], servers[1]
    for server in servers:
        server.kill()


async def on_port(world: World, port: int) -> ServerProcess:
    environment = world.environment(grpc_listen=f"127.0.0.1:{port}", **SERVER)
    return await asyncio.to_thread(ServerProcess, environment)


class Gateway:
    """A validator, and what it answers about a token that will be revoked and one that is kept."""

    def __init__(self, world: World, healthy: str) -> None:
        self.stack = AsyncExitStack()
        self.world = world
        self.callers = Callers(world, healthy)

    async def __aenter__(self) -> Self:
        await self.stack.enter_async_context(self.callers)
        self.doomed = await self.callers.own_session()
        self.kept = await self.callers.own_session()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    async def open(self, targets: str | Sequence[str], **options: Any) -> Validator:
        validating_ = validating(
            self.world, targets, staleness_limit=timedelta(seconds=LIMIT), **options
        )
        return await self.stack.enter_async_context(validating_)

    async def show(
        self, validator: Validator, tokens: types.TokenSet, on_stale: OnStale = "ask"
    ) -> Showing:
        showing = Showing(validator, tokens.access_tokens[0].token, on_stale)
        await self.stack.enter_async_context(showing)
        await showing.until(Verdict.ACTIVE)
        return showing

    async def revoke(self) -> float:
        """When it was acknowledged."""
        await self.callers.client("api").revoke(token=self.doomed.session_token)
        return time.monotonic()


async def test_a_server_dies_and_comes_back(
    shared_world: World, pair: tuple[ServerProcess, ServerProcess]
) -> None:
    """Who knows another one follows that within the limit; who does not says that it is stale."""
    port = fixed_port()
    server = await on_port(shared_world, port)
    async with Gateway(shared_world, pair[1].address) as gateway:
        validator = await gateway.open(server.address)
        doomed = await gateway.show(validator, gateway.doomed)
        kept = await gateway.show(validator, gateway.kept)
        risky = await gateway.show(validator, gateway.kept, "allow_until_expiry")
        with_another = await gateway.open(
            [server.address, pair[0].address], remote_timeout=timedelta(seconds=PATIENCE)
        )
        unharmed = await gateway.show(with_another, gateway.kept)
        server.kill()
        await doomed.until(Verdict.UNSPECIFIED)
        revoked_at = await gateway.revoke()
        await asyncio.sleep(LIMIT)
        await unharmed.until(Verdict.ACTIVE)  # by the other server, for this one is still gone
        server = await on_port(shared_world, port)
        try:
            await doomed.until(Verdict.REVOKED)
            await kept.until(Verdict.ACTIVE)
        finally:
            server.kill()
    assert doomed.accepted_late(revoked_at, LIMIT) == []
    assert doomed.verdicts() == {Verdict.ACTIVE, Verdict.UNSPECIFIED, Verdict.REVOKED}
    assert kept.reasons() <= {"stale", "unreachable"}
    assert "stale" in kept.reasons()
    assert risky.verdicts() == {Verdict.ACTIVE}
    assert "stale" in {one.decision.reason for one in risky.answers}
    # A moment without an answer is the machine's: with a limit of one second the other server's
    # own reading may be too old when it is asked.
    assert unharmed.verdicts() <= {Verdict.ACTIVE, Verdict.UNSPECIFIED}, unharmed.reasons()


async def test_a_server_that_stands_still(
    shared_world: World, pair: tuple[ServerProcess, ServerProcess]
) -> None:
    """Longer than the limit; what it had sent before, and what it sends after, is old."""
    async with Gateway(shared_world, pair[1].address) as gateway:
        validator = await gateway.open(pair[0].address)
        doomed = await gateway.show(validator, gateway.doomed)
        pair[0].pause()
        revoked_at = await gateway.revoke()
        await asyncio.sleep(2 * LIMIT)
        pair[0].resume()
        await doomed.until(Verdict.REVOKED)
    assert doomed.accepted_late(revoked_at, LIMIT) == []


@pytest.mark.parametrize("how", [Proxy.swallow, Proxy.cut])
async def test_a_network_that_is_cut(
    shared_world: World,
    pair: tuple[ServerProcess, ServerProcess],
    how: Callable[[Proxy], None],
) -> None:
    async with (
        Proxy(pair[0].address) as proxy,
        Gateway(shared_world, pair[0].address) as gateway,
    ):
        validator = await gateway.open(proxy.address, remote_timeout=timedelta(seconds=0.5))
        doomed = await gateway.show(validator, gateway.doomed)
        kept = await gateway.show(validator, gateway.kept)
        how(proxy)
        revoked_at = await gateway.revoke()
        await doomed.until(Verdict.UNSPECIFIED)
        await asyncio.sleep(LIMIT / 2)
        proxy.mend()
        await doomed.until(Verdict.REVOKED)
        await kept.until(Verdict.ACTIVE)
    assert doomed.accepted_late(revoked_at, LIMIT) == []


async def test_a_restored_database(world: World) -> None:
    """Its log does not know of a revocation any more, so everyone logs in again."""
    port = fixed_port()
    server = await on_port(world, port)
    async with Gateway(world, server.address) as gateway:
        validator = await gateway.open(server.address)
        doomed = await gateway.show(validator, gateway.doomed)
        kept = await gateway.show(validator, gateway.kept)
        revoked_at = await gateway.revoke()
        await doomed.until(Verdict.REVOKED)
        before = validator.revision
        server.kill()
        await bring_back(world, before)
        server = await on_port(world, port)
        try:
            await kept.until(Verdict.REVOKED)
            await until(partial(is_beyond, validator, before))
            anew = await gateway.show(validator, await gateway.callers.own_session())
            await anew.until(Verdict.ACTIVE)
        finally:
            server.kill()
        assert anew.verdicts() <= {Verdict.ACTIVE, Verdict.UNSPECIFIED}
    assert doomed.accepted_late(revoked_at, LIMIT) == []
    assert kept.verdicts() <= {Verdict.ACTIVE, Verdict.UNSPECIFIED, Verdict.REVOKED}


async def is_beyond(validator: Validator, revision: int) -> bool:
    return validator.fresh and validator.revision > revision


async def bring_back(world: World, seen: int) -> None:
    """The log as it was before its last entry, as a backup would bring it, then the fence."""
    database = await asyncpg.connect(world.dsn)
    try:
        await database.execute("DELETE FROM trust_log WHERE revision = $1", seen)
        await database.execute("UPDATE trust_head SET revision = $1", seen - 1)
    finally:
        await database.close()
    await upkeep.fence(Source(text=world.dsn), seen)
