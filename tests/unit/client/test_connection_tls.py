"""Certificates, authorities and secrets in files that others renew, and what a failed handshake
says: with real servers."""

import asyncio
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Issued, issue
from tests.support.hands import Hands
from tests.support.small_service import AUTHORITY, CALLER, call, once, serving
from tests.support.waiting import PATIENCE, until
from tokenservice import (
    AccessTokenCredentials,
    ClientCertificate,
    ClientSecret,
    ClientSecretFile,
    Connection,
    Tls,
    TokenServiceError,
    Unreachable,
    Validator,
)
from tokenservice._transport.calls import LOGIN


class Files:
    """A client's certificate, key and authorities, as whoever renews them writes them."""

    def __init__(self, folder: Path) -> None:
        self.tls = Tls(folder / "ca", folder / "cert", folder / "key")
        self.folder = folder

    def write(self, **parts: bytes) -> None:
        for name, data in parts.items():
            (self.folder / "new").write_bytes(data)
            (self.folder / "new").rename(self.folder / name)

    def install(self, issued: Issued, authority: Issued = AUTHORITY) -> None:
        self.write(ca=authority.certificate, cert=issued.certificate, key=issued.key)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


async def test_a_renewed_client_certificate_outlives_the_former(files: Files) -> None:
    server, other = issue("server", AUTHORITY), issue("other authority")
    both = replace(AUTHORITY, certificate=AUTHORITY.certificate + other.certificate)
    files.install(issue("former", AUTHORITY))
    caller = ClientCertificate("shop")
    hand = Hands()
    async with serving(certificate=server, client_authority=both) as first:
        port = first.port
        connection = Connection(first.address, caller, tls=files.tls, channels=2, clock=hand)
        await call(connection)
        files.install(issue("renewed", other))
        hand.now += 1
        await call(connection)
        assert first.callers == ["former", "renewed"]
    # Nobody keeps a connection, and the former certificate makes none any more.
    async with serving(port=port, certificate=server, client_authority=other) as second:
        for _ in range(4):
            await call(connection)
        assert second.callers == ["renewed"] * 4
    await connection.close()


async def test_a_renewed_authority(files: Files) -> None:
    other, own = issue("other authority"), issue("shop", AUTHORITY)
    files.install(own)
    hand = Hands()
    async with serving(certificate=issue("server", AUTHORITY)) as first:
        port = first.port
        connection = Connection(first.address, CALLER, tls=files.tls, clock=hand)
        await call(connection)
    async with serving(port=port, certificate=issue("server", other)):
        with pytest.raises(Unreachable, match="authority that is not known"):
            await call(connection, 0.5)
        files.write(ca=AUTHORITY.certificate + other.certificate)
        hand.now += 1
        await call(connection)
    await connection.close()


async def test_calls_in_flight_end_where_they_are(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenservice._transport.lanes.RETIRE_SECONDS", 0.1)
    monkeypatch.setattr("tokenservice._transport.lanes.GRACE_SECONDS", 60.0)
    files.install(issue("former", AUTHORITY))
    certificate = issue("server", AUTHORITY)
    hand = Hands()
    async with (
        serving(certificate=certificate, client_authority=AUTHORITY) as service,
        Connection(service.address, CALLER, tls=files.tls, channels=1, clock=hand) as connection,
    ):
        service.slow = True
        in_flight = asyncio.create_task(call(connection, 60.0))
        await until(lambda: service.callers == ["former"])
        service.slow = False
        files.install(issue("renewed", AUTHORITY))
        hand.now += 1
        await call(connection)
        lanes = connection._lanes
        assert lanes is not None
        await asyncio.sleep(0.3)  # the former channel takes no more calls, and waits for this one
        assert len(lanes._retiring) == 1
        service.gate.set()
        await in_flight
        await until(lambda: not lanes._retiring)
        assert service.callers == ["former", "renewed"]


@pytest.mark.parametrize("closing", [False, True])
async def test_a_call_that_outlives_its_channel_fails_and_cancels_nobody(
    files: Files, monkeypatch: pytest.MonkeyPatch, closing: bool
) -> None:
    monkeypatch.setattr("tokenservice._transport.lanes.RETIRE_SECONDS", 0.01)
    monkeypatch.setattr("tokenservice._transport.lanes.GRACE_SECONDS", 0.01)
    files.install(issue("former", AUTHORITY))
    certificate = issue("server", AUTHORITY)
    hand = Hands()
    async with (
        serving(certificate=certificate, client_authority=AUTHORITY) as service,
        Connection(service.address, CALLER, tls=files.tls, channels=1, clock=hand) as connection,
    ):
        service.slow = True
        in_flight = asyncio.create_task(call(connection, 60.0, LOGIN))
        await until(lambda: service.callers == ["former"])
        if closing:  # as it says
            await connection.close()
            expected: type[BaseException] = asyncio.CancelledError
        else:
            files.install(issue("renewed", AUTHORITY))
            hand.now += 1
            connection.stubs()
            expected = Unreachable
        (ended,) = await asyncio.gather(in_flight, return_exceptions=True)
        assert type(ended) is expected


async def test_closing_does_not_wait_for_channels_that_were_replaced(files: Files) -> None:
    files.install(issue("former", AUTHORITY))
    hand = Hands()
    async with Connection("127.0.0.1:1", CALLER, tls=files.tls, clock=hand) as connection:
        stubs = connection.stubs()
        files.install(issue("renewed", AUTHORITY))
        hand.now += 1
        assert not connection.current(stubs)
        lanes = connection._lanes
        assert lanes is not None
        retiring = [*lanes._retiring]
        assert len(retiring) == 4
    assert all(task.done() for task in retiring)


class Supplier:
    """Gives numbered tokens."""

    def __init__(self) -> None:
        self.given = 1

    async def token(self) -> str:
        return f"token-{self.given}"

    def rejected(self, token: str) -> None:
        self.given += token == f"token-{self.given}"


async def test_a_stream_that_is_refused_asks_for_another_credential() -> None:
    async with serving() as service:
        service.accepted = "Bearer token-2"
        credentials = AccessTokenCredentials(Supplier())
        async with (
            Connection(service.address, credentials) as connection,
            Validator(connection) as validator,
        ):
            assert await validator.wait_ready(timedelta(seconds=PATIENCE))
        assert service.secrets == ["Bearer token-1", "Bearer token-2"]


async def test_a_stream_moves(files: Files) -> None:
    files.install(issue("former", AUTHORITY))
    certificate = issue("server", AUTHORITY)
    hand = Hands()
    async with (
        serving(certificate=certificate, client_authority=AUTHORITY) as service,
        Connection(service.address, CALLER, tls=files.tls, clock=hand) as connection,
        Validator(connection) as validator,
    ):
        assert await validator.wait_ready(timedelta(seconds=PATIENCE))
        files.install(issue("renewed", AUTHORITY))
        hand.now += 1
        await until(lambda: service.watchers == ["former", "renewed"])
        assert validator.fresh
        await asyncio.sleep(0.1)  # and stays there
        assert service.watchers == ["former", "renewed"]


async def test_files_that_cannot_be_used_change_nothing(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    former, renewed = issue("former", AUTHORITY), issue("renewed", AUTHORITY)
    files.install(former)
    hand = Hands()
    async with (
        serving(certificate=issue("server", AUTHORITY), client_authority=AUTHORITY) as service,
        Connection(service.address, CALLER, tls=files.tls, channels=1, clock=hand) as connection,
    ):
        connection.stubs()
        for half, warnings in (
            ({"cert": renewed.certificate}, 0),  # the key comes in a moment
            ({}, 1),  # or it does not
            ({}, 1),
            ({"ca": b"not PEM"}, 1),
            ({"ca": AUTHORITY.certificate, "key": b"-----BEGIN PRIVATE"}, 1),
        ):
            files.write(**half)
            hand.now += 1
            await call(connection)
            assert len(caplog.records) == warnings
        (files.folder / "key").unlink()
        hand.now += 1
        await call(connection)
        files.install(renewed)
        hand.now += 1
        await call(connection)
        assert service.callers == [*["former"] * 6, "renewed"]
    assert "do not belong together" in caplog.text
    assert "PRIVATE" not in caplog.text


async def test_nothing_is_looked_at_twice_in_a_second(files: Files) -> None:
    files.install(issue("former", AUTHORITY))
    hand = Hands()
    async with Connection("127.0.0.1:1", CALLER, tls=files.tls, clock=hand) as connection:
        stubs = connection.stubs()
        hand.now += 1
        assert connection.current(stubs)
        files.install(issue("renewed", AUTHORITY))
        assert connection.current(stubs)
        hand.now += 1
        assert not connection.current(stubs)
        stubs = connection.stubs()
        files.install(issue("renewed", AUTHORITY))
        files.write(cert=b"")
        hand.now += 1
        assert connection.current(stubs)


def basic(secret: str) -> str:
    return ClientSecret("shop", secret)._value


async def test_a_secret_in_a_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with pytest.raises(FileNotFoundError):
        ClientSecretFile("shop", path)
    path.write_text("\n")
    with pytest.raises(ValueError, match=f"^{path} holds no secret"):
        ClientSecretFile("shop", path)
    path.write_text("first\n")
    hand = Hands()
    credentials = ClientSecretFile("shop", path, clock=hand)
    assert (credentials.client_id, credentials.client_secret) == ("shop", "first")
    assert "first" not in repr(credentials)
    async with serving() as service:
        service.accepted = basic("first")
        async with Connection(service.address, credentials) as connection:
            await call(connection)
            # Refused before the next look: it is looked at once more, and the call repeated.
            path.write_text("second")
            service.accepted = basic("second")
            await call(connection)
            assert service.secrets == [basic(one) for one in ("first", "first", "second")]
            # Without another secret there is no repetition.
            service.accepted = basic("third")
            with pytest.raises(TokenServiceError, match="UNAUTHENTICATED"):
                await call(connection)
            assert len(service.secrets) == 4
            # Being written.
            path.write_text("")
            hand.now += 1
            assert await credentials.authorization() == basic("second")
            path.write_text("third")
            hand.now += 1
            await call(connection)


# --- what does not come about ---


def trusting(authority: Issued) -> Tls:
    return Tls(authority.certificate)


def showing(shown: Issued, key: Issued | None = None) -> Tls:
    return Tls(AUTHORITY.certificate, shown.certificate, (key or shown).key)


LONG_AGO = datetime.now(UTC) - timedelta(days=1)
STRANGER = issue("another authority")
SERVERS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tls": {"certificate": issue("server", AUTHORITY)},
    "expired": {"certificate": issue("server", AUTHORITY, until=LONG_AGO)},
    "other name": {"certificate": issue("server", AUTHORITY, dns="tokens.test")},
    "mutual": {"certificate": issue("server", AUTHORITY), "client_authority": AUTHORITY},
}


@pytest.mark.parametrize(
    ("server", "tls", "hint"),
    [
        ("tls", None, "if it speaks TLS only"),
        ("plain", trusting(AUTHORITY), "does not speak TLS"),
        ("tls", trusting(STRANGER), "authority that is not known here"),
        ("tls", Tls(), "authority that is not known here"),
        ("tls", trusting(AUTHORITY), ""),
        ("tls", Tls(b"not PEM"), "not usable as PEM"),
        ("expired", trusting(AUTHORITY), "certificate has expired"),
        ("other name", trusting(AUTHORITY), "does not name the host"),
        ("other name", Tls(AUTHORITY.certificate, server_name="tokens.test"), ""),
        ("mutual", trusting(AUTHORITY), "asks for a client certificate"),
        ("mutual", showing(issue("old", AUTHORITY, until=LONG_AGO)), "asks for a client"),
        ("mutual", showing(issue("a", AUTHORITY), issue("b", AUTHORITY)), "belong together"),
        ("mutual", showing(issue("shop", AUTHORITY)), ""),
    ],
)
async def test_a_failed_handshake_says_what_to_look_at(
    server: str, tls: Tls | None, hint: str
) -> None:
    async with (
        serving(**SERVERS[server]) as service,
        Connection(service.address, CALLER, tls=tls, channels=1) as connection,
    ):
        if not hint:
            await call(connection)
            return
        for attempt in (once, connected):
            with pytest.raises(Unreachable) as caught:
                await attempt(connection)
            error = caught.value
            assert hint in error.hint
            assert error.targets == (service.address,)
            text = str(error)
            assert f"(tried {service.address}); {error.hint}" in text
            for secret in ("the secret value", basic("the secret value")[6:], "PRIVATE"):
                assert secret not in text


async def answer_as_http1(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("secure", [False, True])
async def test_another_kind_of_server(secure: bool, tmp_path: Path) -> None:
    """With TLS it does not offer HTTP/2 (RFC 7301)."""
    context: ssl.SSLContext | None = None
    if secure:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own = issue("server", AUTHORITY)
        (tmp_path / "own").write_bytes(own.certificate + own.key)
        context.load_cert_chain(tmp_path / "own")
    server = await asyncio.start_server(answer_as_http1, "127.0.0.1", 0, ssl=context)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    tls = trusting(AUTHORITY) if secure else None
    async with server, Connection(address, CALLER, tls=tls, channels=1) as connection:
        with pytest.raises(Unreachable, match="does not speak HTTP/2"):
            await once(connection)


async def connected(connection: Connection) -> None:
    """What a call that is sent once waits for. Raises Unreachable."""
    await connection.ready_stubs(timedelta(seconds=0.01))


async def test_nobody_there() -> None:
    targets = ["127.0.0.1:1", "unix:/nowhere/tokens.sock"]
    async with Connection(targets, CALLER, channels=1) as connection:
        with pytest.raises(Unreachable) as caught:
            await call(connection, 0.5)
        assert set(caught.value.targets) == set(targets)
        assert caught.value.hint == ""
        with pytest.raises(Unreachable, match="no server can be reached: connections") as caught:
            await connection.ready_stubs(timedelta(seconds=0.2))
        assert set(caught.value.targets) == set(targets)
