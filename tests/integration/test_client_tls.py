"""The client package over TLS, with certificates that speak for the caller, and tokens for gRPC."""

import asyncio
from pathlib import Path

import grpc
import pytest

from tests.support.certificates import Issued, issue
from tests.support.clients import secret_of
from tests.support.fixtures import LocalServer, StartApplication
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
from tokenservice.v1 import client_service_pb2 as clients
from tokenservice.v1 import session_service_pb2 as sessions
from tokenservice.v1.client_service_pb2_grpc import ClientServiceStub
from tokenservice.v1.session_service_pb2_grpc import SessionServiceStub


@pytest.fixture
def authority() -> Issued:
    return issue("authority")


async def serve(
    start: StartApplication, authority: Issued, folder: Path, *, mutual: bool = False
) -> LocalServer:
    server = issue("server", authority)
    files = {"tls_cert": server.certificate, "tls_key": server.key}
    if mutual:
        files["tls_client_ca"] = authority.certificate
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return await start(**{name: folder / name for name in files})


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
                await TokenClient(connection).login_as_client(timeout=0.5)


async def test_a_certificate_speaks_for_a_client(
    world: World, start_application: StartApplication, authority: Issued, tmp_path: Path
) -> None:
    server = await serve(start_application, authority, tmp_path, mutual=True)
    own, other = issue("shop", authority), issue("other", authority)

    def tls(issued: Issued) -> Tls:
        return Tls(authority.certificate, issued.certificate, issued.key)

    admin = Connection(server.address, secret_of(world, "demo-admin"), tls=tls(other))
    async with admin:
        await list_certificate(admin, tls(other), "demo-api", own)
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
            await TokenClient(connection).login_as_client(timeout=0.5)


async def list_certificate(admin: Connection, tls: Tls, client_id: str, issued: Issued) -> None:
    """Write the certificate's thumbprint into the client's policy."""
    target = repr(admin).removeprefix("Connection(").removesuffix(")")
    async with grpc.aio.secure_channel(target, tls.channel_credentials()) as channel:
        stub = ClientServiceStub(channel)
        metadata = await admin.metadata()
        found = await stub.GetClient(
            clients.GetClientRequest(client_id=client_id), metadata=metadata
        )
        policy = found.client.policy
        policy.certificate_thumbprints.append(bytes.fromhex(issued.thumbprint))
        await stub.UpdateClientPolicy(
            clients.UpdateClientPolicyRequest(client_id=client_id, policy=policy),
            metadata=metadata,
        )


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
