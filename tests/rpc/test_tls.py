"""TLS and client certificates, made on the spot."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from tests.rpc.echo import (
    ALICE,
    ECHO,
    World,
    basic,
    connected,
    failure,
    raw,
    serving,
    text,
    unary_unary,
)
from tests.support.certificates import Issued, issue
from tests.support.waiting import PATIENCE, patience
from token_service.rpc.network.tls import TlsFiles

METADATA = (("x-client-id", "alice"),)


@dataclass(frozen=True)
class Pki:
    """An authority, a server, and the files of that server."""

    authority: Issued
    server: Issued
    files: TlsFiles

    def credentials(self, own: Issued | None = None) -> grpc.ChannelCredentials:
        if own is None:
            return grpc.ssl_channel_credentials(self.authority.certificate)
        return grpc.ssl_channel_credentials(self.authority.certificate, own.key, own.certificate)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    authority = issue("authority")
    server = issue("server", authority)
    files = TlsFiles(tmp_path / "cert", tmp_path / "key", tmp_path / "ca")
    files.cert.write_bytes(server.certificate)
    files.key.write_bytes(server.key)
    (tmp_path / "ca").write_bytes(authority.certificate)
    return Pki(authority, server, files)


@asynccontextmanager
async def served(pki: Pki, *, mutual: bool, world: World | None = None) -> AsyncIterator[World]:
    files = pki.files if mutual else TlsFiles(pki.files.cert, pki.files.key)
    async with serving(world, tls=files, client_certificates=mutual) as world:
        yield world


async def call(world: World, credentials: grpc.ChannelCredentials | None, metadata: Any) -> str:
    async with connected(world, credentials) as channel:
        reply = await unary_unary(channel, ECHO)(raw("x"), metadata=metadata, timeout=PATIENCE)
        return text(reply)


async def test_tls_is_spoken(pki: Pki) -> None:
    async with served(pki, mutual=False) as world:
        assert await call(world, pki.credentials(), ALICE) == "x"


async def test_plaintext_is_not_spoken_where_tls_is(pki: Pki) -> None:
    async with served(pki, mutual=False) as world:
        assert (await failure(call(world, None, ALICE))).code is StatusCode.UNAVAILABLE
        assert world.callers == []


async def test_every_caller_needs_a_certificate_once_it_is_asked_for(pki: Pki) -> None:
    stranger = issue("alice", issue("another authority"))
    async with served(pki, mutual=True) as world:
        for credentials in (pki.credentials(), pki.credentials(stranger)):
            refused = await failure(call(world, credentials, ALICE))
            assert refused.code is StatusCode.UNAVAILABLE
        own = pki.credentials(issue("alice", pki.authority))
        assert await call(world, own, ALICE) == "x"
        assert len(world.callers) == 1


async def test_a_listed_certificate_stands_for_a_secret(pki: Pki) -> None:
    own = issue("alice", pki.authority)
    other = issue("bob", pki.authority)
    world = World()
    alice = world.clients.by_authorization[basic("alice")]
    world.clients.by_certificate["alice", own.thumbprint] = alice
    async with served(pki, mutual=True, world=world) as world:
        assert await call(world, pki.credentials(own), METADATA) == "x"
        assert world.callers[0].client_id == "alice"
        for credentials, metadata in (
            (pki.credentials(other), METADATA),
            (pki.credentials(own), (("x-client-id", "nobody"),)),
            (pki.credentials(own), ()),
            (pki.credentials(own), (*METADATA, ("authorization", basic("alice", "wrong")))),
        ):
            refused = await failure(call(world, credentials, metadata))
            assert refused.reason == "CALLER_UNAUTHENTICATED"


async def test_a_renewed_certificate_is_taken_over(pki: Pki) -> None:
    successor = issue("successor")
    async with served(pki, mutual=False) as world:
        assert await call(world, pki.credentials(), ALICE) == "x"
        pki.files.cert.write_bytes(successor.certificate)  # half of a renewal: the old pair goes on
        assert await call(world, pki.credentials(), ALICE) == "x"
        pki.files.key.write_bytes(successor.key)
        trusting = grpc.ssl_channel_credentials(successor.certificate)
        assert await call(world, trusting, ALICE) == "x"
        assert (await failure(call(world, pki.credentials(), ALICE))).code is StatusCode.UNAVAILABLE


async def test_a_handshake_that_goes_no_further_is_not_waited_for(pki: Pki) -> None:
    files = TlsFiles(pki.files.cert, pki.files.key)
    async with serving(tls=files, handshake_timeout=0.2) as world:
        host, _, port = world.address.rpartition(":")
        for said in (b"", b"\x16\x03\x01\x02\x00\x01"):  # nothing, and the start of a ClientHello
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(said)
            async with patience():
                assert await reader.read() == b""
            writer.close()
