"""Lost replies, dead processes, dead servers: the client ends up where it would have been."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.clients import connect
from tests.support.fixtures import StartApplication, StartServer
from tests.support.lossy_proxy import LossyProxy
from tests.support.servers import ROOT, ServerProcess
from tests.support.waiting import until
from tests.support.world import World
from tokenservice import (
    FileTokenStore,
    MemoryTokenStore,
    StoredSession,
    TokenClient,
    TokenServiceError,
    TokenSet,
    TokenSource,
    Unreachable,
)
from tokenservice._outgoing.server_time import ServerTime
from tokenservice.core import AnchoredClock, Platform, Verdict
from tokenservice.core.clock import boottime

NOBODY = "00000000-0000-4000-8000-000000000000"


async def login(world: World, client: TokenClient) -> TokenSet:
    return await client.login_with_password(
        world.username, world.password, platform=Platform.WEB, audiences=["orders"]
    )


async def test_lost_replies(world: World, start_application: StartApplication) -> None:
    """What may be repeated is, and what may not is done once."""
    server = await start_application()
    async with (
        LossyProxy(server.address) as proxy,
        connect(world, proxy.address, "demo-web", channels=1) as connection,
    ):
        client = TokenClient(connection)
        tokens = await login(world, client)
        proxy.replies_to_lose = 2
        successor = await client.exchange(tokens.session_token)
        assert (proxy.lost, successor.replayed) == (2, True)
        proxy.replies_to_lose = 1
        strong = await client.reauthenticate(
            successor.session_token, world.username, world.password
        )
        assert (proxy.lost, strong.replayed) == (3, True)
        proxy.replies_to_lose = 1
        revoked = await client.revoke(token=strong.session_token)
        assert (proxy.lost, revoked.sessions) == (4, 0)  # those of the first attempt
        proxy.replies_to_lose = 1
        with pytest.raises(Unreachable):
            await login(world, client)
        proxy.replies_to_lose = 1
        session = await client.get_session(tokens.session_id)
        assert (proxy.lost, session.revoked_at is None) == (6, False)
        assert len((await client.list_sessions(subject=session.subject).page()).items) == 1
        own = await login(world, client)
        proxy.replies_to_lose = 1
        with pytest.raises(Unreachable):
            await client.revoke_other_sessions(own.session_token)
        (left,) = (await client.list_sessions(subject=session.subject).page()).items
        assert left.session_id == own.session_id


async def test_a_server_that_dies_after_the_commit_is_replaced_by_another(
    world: World, start_server: StartServer, start_application: StartApplication
) -> None:
    survivor = await start_application()
    doomed = start_server(module="tests.faults.cut_off")
    async with connect(world, [doomed.address, survivor.address], "demo-web") as connection:
        client = TokenClient(connection)
        tokens = successor = await login(world, client)
        for _ in range(8):  # until it was the doomed one's turn
            tokens, successor = successor, await client.exchange(successor.session_token)
            if doomed.process.poll() is not None:
                break
            await asyncio.sleep(0.01)
        assert await asyncio.to_thread(doomed.process.wait, 10) == -signal.SIGKILL
        assert successor.replayed
        assert (await client.exchange(successor.session_token)).session_id == tokens.session_id


async def test_a_process_that_dies_before_it_stored_the_successor(
    world: World, start_application: StartApplication, tmp_path: Path
) -> None:
    server = await start_application()
    path = tmp_path / "session.json"
    victim = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.integration.sdk.dying_client", server.address, "demo-api", str(path)),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
    )
    await victim.communicate(world.clients["demo-api"].encode() + b"\n")
    assert victim.returncode == -signal.SIGKILL
    store = FileTokenStore(path)
    left = await store.load()
    assert left is not None
    assert left.pending is not None
    assert left.pending.scopes == ("orders.read",)
    async with connect(world, server.address, "demo-api") as connection:
        client = TokenClient(connection)
        tokens = await StoredSession(client, store).exchange(
            audiences=["orders"], scopes=["orders.read"]
        )
        assert (tokens.session_id, tokens.replayed) == (left.tokens.session_id, True)
        # A token source goes on with the same session, and needs no login.
        source = TokenSource(client, "orders", scopes=["orders.read"], store=store)
        assert await source.token() == tokens.access_tokens[0].token
        source.rejected(tokens.access_tokens[0].token)
        assert await source.token() != tokens.access_tokens[0].token
        assert len((await client.list_sessions(subject="demo-api").page()).items) == 1


async def test_reuse_ends_a_stored_session_and_a_source_logs_in_again(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    async with connect(world, server.address, "demo-api") as connection:
        client = TokenClient(connection)
        store = MemoryTokenStore()
        source = TokenSource(client, "orders", store=store)
        first = await source.token()
        stored = await store.load()
        assert stored is not None
        await client.exchange(stored.tokens.session_token)  # a thief
        with pytest.raises(TokenServiceError, match="TOKEN_REUSED"):
            await StoredSession(client, store).exchange()
        assert await store.load() is None
        source.rejected(first)
        assert await source.token() != first
        (session,) = (await client.list_sessions(subject="demo-api").page()).items
        assert session.session_id != stored.tokens.session_id


async def test_a_token_source_outlives_a_restart_of_its_server(
    world: World, start_server: StartServer
) -> None:
    first = start_server()
    async with connect(world, first.address, "demo-api") as connection:
        client = TokenClient(connection)
        shift = 0.0
        time = ServerTime(anchor=AnchoredClock(lambda: boottime() + shift))
        async with TokenSource(client, "orders", time=time) as source:
            token = await source.token()
            session = (await client.list_sessions(subject="demo-api").page()).items[0]
            first.kill()
            shift = 250.0  # due, and still good
            assert await source.token() == token
            start_server(grpc_listen=first.address)

            async def refreshed() -> bool:
                return await source.token() != token

            await until(refreshed)
        (same,) = (await client.list_sessions(subject="demo-api").page()).items
        assert same.session_id == session.session_id


def calls_of(server: ServerProcess) -> int:
    return sum('/GetSession"' in line for line in server.output)


async def look(client: TokenClient) -> None:
    with pytest.raises(TokenServiceError, match="SESSION_NOT_FOUND"):
        await client.get_session(NOBODY)


async def test_load_is_spread_and_a_server_that_fails_is_passed_over(
    world: World, start_server: StartServer
) -> None:
    servers = [start_server(), start_server()]
    async with connect(world, [one.address for one in servers], "demo-admin") as connection:
        client = TokenClient(connection)
        for _ in range(40):
            await look(client)
        await until(counted(lambda: sum(map(calls_of, servers)) == 40))
        assert [calls_of(one) for one in servers] == [20, 20]
        servers[0].pause()
        try:
            silent = (client.validate("nonsense", audience="orders") for _ in range(8))
            verdicts = [one.verdict for one in await asyncio.gather(*silent)]
            assert verdicts == [Verdict.MALFORMED] * 8
        finally:
            servers[0].resume()
        servers[0].kill()
        for _ in range(20):
            await look(client)
        # Passed over from the start, so that nothing is lost that may be sent once only.
        for _ in range(8):
            await client.login_as_client()


def counted(condition: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        return condition()

    return asked


async def test_one_servers_name_reaches_all_of_its_channels(
    world: World, start_application: StartApplication
) -> None:
    """Channels to one address share no connection, or one worker would get all the load."""
    server = await start_application()
    async with (
        LossyProxy(server.address) as proxy,
        connect(world, proxy.address, "demo-web", channels=5) as connection,
    ):
        for _ in range(10):
            await look(TokenClient(connection))
        assert proxy.accepted == 5


async def test_a_login_fails_over_before_it_is_sent(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()
    dead = "127.0.0.1:1"
    async with connect(world, [dead, server.address], "demo-web", channels=1) as connection:
        client = TokenClient(connection)
        sessions = {(await login(world, client)).session_id for _ in range(4)}
        assert len(sessions) == 4
    async with connect(world, dead, "demo-api") as nowhere:
        with pytest.raises(Unreachable, match="no server can be reached"):
            await TokenClient(nowhere).login_as_client(timeout=timedelta(seconds=0.3))
