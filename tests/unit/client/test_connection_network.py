"""Names that lead elsewhere, proxies in the environment, and what calls name as their host."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.certificates import issue
from tests.support.hands import Hands
from tests.support.small_service import AUTHORITY, CALLER, call, once, serving
from tests.support.waiting import patience, until
from tests.unit.client.name_server import NameServer
from tokenservice import Connection, Tls, TokenServiceError
from tokenservice._transport.channels import ChannelSettings
from tokenservice._transport.lanes import STUCK_SECONDS


async def test_a_server_that_moved_is_found_before_grpc_would_find_it() -> None:
    """By itself gRPC asks DNS every 30 seconds at most; the plain channel shows that it does."""
    async with NameServer() as names, AsyncExitStack() as stack:
        former = await stack.enter_async_context(AsyncExitStack())
        names.addresses = ["127.0.0.1"]
        port = (await former.enter_async_context(serving())).port
        connection = Connection(names.target(port), CALLER, channels=2, allow_plaintext=True)
        await stack.enter_async_context(connection)
        plain = await stack.enter_async_context(grpc.aio.insecure_channel(names.target(port)))
        unknown: Any = plain.unary_unary("/tokenservice.v1.TokenService/Unknown")
        with pytest.raises(grpc.aio.AioRpcError, match="UNIMPLEMENTED"):
            await unknown(b"", wait_for_ready=True)
        for _ in range(4):
            await call(connection)
        moved = await stack.enter_async_context(serving("127.0.0.2", port))
        names.addresses = ["127.0.0.2"]
        await former.aclose()
        by_itself = asyncio.ensure_future(unknown(b"", wait_for_ready=True))
        async with patience():
            for _ in range(4):
                while True:
                    try:
                        await call(connection)
                        break
                    except TokenServiceError:
                        await asyncio.sleep(0.05)
        assert len(moved.callers) == 4
        assert not by_itself.done()
        by_itself.cancel()


async def test_a_name_that_was_not_found_is_asked_for_again_soon() -> None:
    """gRPC asks less and less often; a channel that fails for seconds is opened anew."""
    async with NameServer() as names, serving() as service:
        hand = Hands()
        target = names.target(service.port)
        connection = Connection(target, CALLER, channels=1, allow_plaintext=True, clock=hand)
        async with connection:
            for _ in range(2):
                with pytest.raises(TokenServiceError, match="lookup failed"):
                    await once(connection)
            names.addresses = ["127.0.0.1"]
            asked = names.questions
            hand.now += STUCK_SECONDS
            await once(connection)
            assert names.questions == asked + 1
            assert service.callers == [""]


async def test_an_address_that_refuses_is_left_to_grpc() -> None:
    hand = Hands()
    async with Connection("127.0.0.1:1", CALLER, channels=1, clock=hand) as connection:
        for _ in range(3):
            with pytest.raises(TokenServiceError):
                await once(connection)
            hand.now += STUCK_SECONDS
        stubs = connection.stubs()
        assert connection.stubs() is stubs


@asynccontextmanager
async def listening(where: str = "") -> AsyncIterator[tuple[str, list[bytes]]]:
    """Take connections and note what is sent; at a path, or at a port of this machine."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes.fromhex("000000040000000000"))  # settings (RFC 9113), or grpc waits
        while data := await reader.read(65_536):
            heard.append(data)
        writer.close()

    if where:
        server = await asyncio.start_unix_server(listen, where)
    else:
        server = await asyncio.start_server(listen, "127.0.0.1", 0)
    try:
        yield where or f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
    finally:
        server.close()


async def heard_by(heard: list[bytes], wanted: bytes, target: str, **options: Any) -> None:
    """Call until the listener has heard it: grpc sends the names of headers as they are."""
    async with Connection(target, CALLER, channels=1, **options) as connection:
        calling = asyncio.create_task(call(connection, 10.0))
        await until(lambda: wanted in b"".join(heard))
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)


async def test_what_calls_name_as_their_host(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    async with listening(path) as (_, heard):
        await heard_by(heard, b"localhost", f"unix:{path}")
        assert b"%2F" not in b"".join(heard)
    async with listening(path) as (_, heard):
        await heard_by(heard, b"tokens.test", f"unix:{path}", authority="tokens.test")
    async with listening() as (address, heard):
        await heard_by(heard, address.encode(), f"ipv4:{address},127.0.0.2:1")
        assert b"," not in b"".join(heard).replace(b"identity, deflate, gzip", b"")
    async with listening() as (address, heard):
        await heard_by(heard, b"tokens.test", address, authority="tokens.test")


@pytest.mark.parametrize(
    ("options", "works"),
    [
        ({}, False),
        ({"authority": "tokens.test"}, True),
        ({"authority": "tokens.test:443"}, True),
        ({"server_name": "tokens.test"}, True),
        ({"server_name": "tokens.test", "authority": "tokens.test"}, True),
        ({"authority": "other.test"}, False),
    ],
)
async def test_the_certificate_is_for_the_host_that_is_called(
    tmp_path: Path, options: dict[str, str], works: bool
) -> None:
    server = issue("server", AUTHORITY, dns="tokens.test")
    tls = Tls(AUTHORITY.certificate, server_name=options.get("server_name", ""))
    authority = options.get("authority", "")
    async with serving(f"unix:{tmp_path}/s", certificate=server) as service:
        targets = [service.address]
        async with Connection(
            targets, CALLER, tls=tls, channels=1, authority=authority
        ) as connection:
            if works:
                await once(connection)
                return
            with pytest.raises(TokenServiceError, match="does not name the host"):
                await once(connection)


async def test_a_list_of_addresses_with_tls() -> None:
    certificate = issue("server", AUTHORITY)
    async with serving(certificate=certificate) as service:
        target = f"ipv4:{service.address},127.0.0.2:{service.port}"
        async with Connection(target, CALLER, tls=Tls(AUTHORITY.certificate)) as connection:
            await call(connection)


VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")


@pytest.mark.parametrize("variable", VARIABLES)
async def test_a_proxy_takes_nothing_that_is_meant_for_this_machine(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    certificate = issue("server", AUTHORITY)
    tls = Tls(AUTHORITY.certificate, server_name="127.0.0.1")
    async with listening() as (proxy, heard):
        monkeypatch.setenv(variable, f"http://{proxy}")
        async with (
            serving(certificate=certificate) as secure,
            serving() as plain,
            serving(f"unix:{tmp_path}/s", certificate=certificate) as at_path,
        ):
            for target, how in (
                (secure.address, tls),
                (f"dns:///localhost:{secure.port}", tls),
                (f"ipv4:{secure.address}", tls),
                (at_path.address, tls),
                (plain.address, None),
            ):
                async with Connection(target, CALLER, tls=how, channels=1) as connection:
                    await call(connection)
        assert heard == []


async def test_other_machines_are_reached_through_the_proxy_unless_it_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with listening() as (proxy, heard), NameServer() as names:
        monkeypatch.setenv("grpc_proxy", f"http://{proxy}")
        await heard_by(heard, b"CONNECT tokens.test:443", "tokens.test:443", tls=Tls())
        heard.clear()
        target = names.target(443)
        for options in ({"tls": Tls(), "trust_env": False}, {"allow_plaintext": True}):
            async with Connection(target, CALLER, channels=1, **options) as connection:
                with pytest.raises(TokenServiceError, match="lookup failed"):
                    await once(connection)
        assert heard == []


@pytest.mark.parametrize(
    "target", ["10.0.0.1:443", "192.168.0.1:443", "ipv4:127.0.0.1:1,10.0.0.1:1"]
)
def test_private_networks_are_other_machines(target: str) -> None:
    refused = ("grpc.enable_http_proxy", 0)
    assert refused not in ChannelSettings().options(target, secure=True)
    assert refused in ChannelSettings(trust_env=False).options(target, secure=True)


def test_a_channel_that_replaces_one_that_failed_is_as_patient_as_that() -> None:
    options = dict(ChannelSettings().options("tokens.test:443", secure=True, patient=True))
    pauses = ("grpc.initial_reconnect_backoff_ms", "grpc.max_reconnect_backoff_ms")
    assert [options[name] for name in pauses] == [3_000, 3_000]


def test_keepalive_asks_less_often_than_servers_allow() -> None:
    """A server ends connections that ping it more often than each ten seconds."""
    options = dict(ChannelSettings().options("tokens.test:443", secure=True))
    assert int(options["grpc.keepalive_time_ms"]) >= 15_000
    assert options["grpc.keepalive_permit_without_calls"] == 1
