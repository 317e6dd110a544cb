"""The client package over TLS, with certificates that speak for the caller, and tokens for gRPC."""

import asyncio
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from tests.support.api import Api, basic
from tests.support.certificates import Issued, issue, server_files
from tests.support.clients import secret_of
from tests.support.fixtures import LocalServer, StartApplication
from tests.support.policies import change_policy
from tests.support.waiting import PATIENCE
from tests.support.world import World
from tokenservice import (
    ClientCertificate,
    Connection,
    SyncConnection,
    SyncTokenClient,
    SyncTokenSource,
    Tls,
    TokenClient,
    TokenServiceError,
    TokenSource,
    Unreachable,
    call_credentials,
)
from tokenservice.v1 import session_service_pb2 as sessions
from tokenservice.v1.session_service_pb2_grpc import SessionServiceStub


@pytest.fixture
def authority() -> Issued:
    return issue("authority")


async def serve(
    start: StartApplication, authority: Issued, folder: Path, *, mutual: bool = False
) -> LocalServer:
    return await start(**server_files(authority, folder, mutual=mutual))


async def test_tls(
    world: World, start_application: StartApplication, authority: Issued, tmp_path: Path
) -> None:
    server = await serve(start_application, authority, tmp_path)
    caller = secret_of(world, "demo-api")
    (tmp_path / "ca").write_bytes(authority.certificate)
    port = server.address.rpartition(":")[2]
    for target, tls in (
        (f"https://{server.address}", Tls(tmp_path / "ca")),
        (f"localhost:{port}", Tls(authority.certificate, server_name="127.0.0.1")),
    ):
        async with Connection(target, caller, tls=tls) as connection:
            assert (await TokenClient(connection).login_as_client()).session_token
    stranger = Tls(issue("another authority").certificate)
    for wrong in (stranger, Tls(), None):  # trusts another, trusts the usual ones, no TLS
        async with Connection(server.address, caller, tls=wrong) as connection:
            with pytest.raises(Unreachable):
                await TokenClient(connection).login_as_client(timeout=timedelta(seconds=0.5))


async def test_a_certificate_speaks_for_a_client(
    world: World, start_application: StartApplication, authority: Issued, tmp_path: Path
) -> None:
    server = await serve(start_application, authority, tmp_path, mutual=True)
    own, other = issue("shop", authority), issue("other", authority)

    def tls(issued: Issued) -> Tls:
        return Tls(authority.certificate, issued.certificate, issued.key)

    secret = basic("demo-admin", world.clients["demo-admin"])
    async with Api(server.address, secret, tls(other).channel_credentials()) as admin:
        thumbprints = [bytes.fromhex(own.thumbprint)]
        await change_policy(admin, "demo-api", certificate_thumbprints=thumbprints)
    for issued, known in ((own, True), (other, False)):
        certificate = ClientCertificate("demo-api")
        async with Connection(server.address, certificate, tls=tls(issued)) as connection:
            client = TokenClient(connection)
            if known:
                assert (await client.login_as_client()).session_token
                continue
            with pytest.raises(TokenServiceError, match="CALLER_UNAUTHENTICATED"):
                await client.login_as_client()
    without = Tls(authority.certificate)
    caller = secret_of(world, "demo-api")
    async with Connection(server.address, caller, tls=without) as connection:
        with pytest.raises(Unreachable):
            await TokenClient(connection).login_as_client(timeout=timedelta(seconds=0.5))


async def test_grpc_calls_carry_the_sources_token(
    world: World, start_application: StartApplication, authority: Issued, tmp_path: Path
) -> None:
    server = await serve(start_application, authority, tmp_path)
    tls = Tls(authority.certificate)
    request = sessions.ListSessionsRequest(subject="demo-api")
    async with Connection(server.address, secret_of(world, "demo-api"), tls=tls) as connection:
        source = TokenSource(TokenClient(connection), "token-service")
        credentials = grpc.composite_channel_credentials(
            tls.channel_credentials(), call_credentials(source)
        )
        async with grpc.aio.secure_channel(server.address, credentials) as channel:
            for _ in range(2):
                listed = await SessionServiceStub(channel).ListSessions(request, timeout=PATIENCE)
                assert len(listed.sessions) == 1


async def test_grpc_calls_on_threads_carry_it_too(
    world: World, start_application: StartApplication, authority: Issued, tmp_path: Path
) -> None:
    server = await serve(start_application, authority, tmp_path)
    tls = Tls(authority.certificate)

    def on_a_thread() -> list[int]:
        request = sessions.ListSessionsRequest(subject="demo-api")
        caller = secret_of(world, "demo-api")
        with SyncConnection(server.address, caller, tls=tls) as connection:
            source = SyncTokenSource(SyncTokenClient(connection), "token-service")
            credentials = grpc.composite_channel_credentials(
                tls.channel_credentials(), call_credentials(source)
            )
            with grpc.secure_channel(server.address, credentials) as channel:
                listing = SessionServiceStub(channel).ListSessions
                return [len(listing(request, timeout=PATIENCE).sessions) for _ in range(2)]

    assert await asyncio.to_thread(on_a_thread) == [1, 1]
