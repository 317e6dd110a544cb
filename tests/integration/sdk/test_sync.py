"""The client package on threads, against a real server process."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clients import secret_of
from tests.support.fixtures import StartApplication, StartServer
from tests.support.world import World
from tokenservice import (
    AccessTokenCredentials,
    BackgroundLoop,
    DerivedExchangeId,
    SyncConnection,
    SyncTokenClient,
    SyncTokenSource,
    TokenServiceError,
)
from tokenservice.core import Platform, Verdict


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # what the end is about
def test_threads(world: World, start_server: StartServer) -> None:
    server = start_server()
    ids = DerivedExchangeId(bytes(range(32)))
    address = server.address
    of_web = SyncConnection(address, secret_of(world, "demo-web"))
    of_gateway = SyncConnection(address, secret_of(world, "demo-gateway"))
    web = SyncTokenClient(of_web, exchange_ids=ids)
    gateway = SyncTokenClient(of_gateway)
    with of_web, of_gateway, ThreadPoolExecutor(32) as pool:
        tokens = web.login_with_password(
            world.username, world.password, platform=Platform.WEB, audiences=["orders"]
        )
        exchanged = list(pool.map(web.exchange, [tokens.session_token] * 32))
        assert len({one.session_token for one in exchanged}) == 1
        access = exchanged[0].access_tokens[0].token
        verdicts = pool.map(lambda _: gateway.validate(access, audience="orders"), range(64))
        assert {one.verdict for one in verdicts} == {Verdict.ACTIVE}
        listed = web.list_sessions(session_token=exchanged[0].session_token)
        assert [one.session_id for one in listed] == [tokens.session_id]
        with pytest.raises(TokenServiceError, match="SESSION_NOT_FOUND"):
            web.get_session("00000000-0000-4000-8000-000000000000")
        assert web.revoke(token=exchanged[0].session_token).sessions == 1
        child = os.fork()
        if child == 0:
            _in_the_child(web, of_web)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pytest.raises(RuntimeError, match="closed"):
        web.get_session(tokens.session_id)


def _in_the_child(client: SyncTokenClient, connection: SyncConnection) -> None:
    """Forked: it must hear so, and neither hang nor disturb its parent."""
    try:
        client.get_session("x")
    except RuntimeError as error:
        connection.close()
        os._exit(0 if "fork" in str(error) else 2)
    finally:
        os._exit(1)


async def test_a_client_with_an_access_token_of_its_own(
    world: World, start_application: StartApplication
) -> None:
    server = await start_application()

    def on_a_thread() -> list[int]:
        loop = BackgroundLoop()
        secret = secret_of(world, "demo-admin")
        with SyncConnection(server.address, secret, channels=1, loop=loop) as of_secret:
            own = SyncTokenClient(of_secret)
            source = SyncTokenSource(own, "token-service")
            credentials = AccessTokenCredentials(source.asynchronous)
            with SyncConnection(server.address, credentials, loop=loop) as of_token:
                client = SyncTokenClient(of_token)
                counts = [len(list(client.list_sessions(subject="demo-admin")))]
                own.revoke(token=source.token())
                counts.append(len(list(client.list_sessions(subject="demo-admin"))))
        loop.close()
        return counts

    assert await asyncio.to_thread(on_a_thread) == [1, 1]
