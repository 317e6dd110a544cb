"""Who calls, and where to: nothing secret without TLS beyond this machine, nothing in a repr."""

import asyncio
import base64
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client_fakes import unreachable
from tokenservice import AccessTokenCredentials, ClientCertificate, ClientSecret, Connection, Tls
from tokenservice._transport.addresses import bare_address, is_local

SECRET = "s3cret-:%-value"
CALLER = ClientSecret("shop", SECRET)


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("localhost:1", True),
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("unix:/run/tokens.sock", True),
        ("unix-abstract:tokens", True),
        ("dns:///localhost:1", True),
        ("dns:localhost:1", True),
        ("ipv4:127.0.0.1:1,127.0.0.2:1", True),
        ("ipv4:127.0.0.1:1,10.0.0.1:1", False),
        ("dns://10.0.0.1/localhost:1", False),
        ("localhost.example.com:1", False),
        ("0.0.0.0:1", False),
        ("10.0.0.1:1", False),
        ("[::ffff:10.0.0.1]:1", False),
        ("tokens.internal:50051", False),
        ("tokens.internal:50051,localhost:1", False),
        ("xds:///localhost", False),
        ("[", False),
        ("", False),
    ],
)
def test_which_addresses_are_on_this_machine(target: str, local: bool) -> None:
    assert is_local(target) is local


def test_addresses_written_as_urls() -> None:
    assert bare_address("https://tokens.internal:443/", secure=True) == "tokens.internal:443"
    assert bare_address("http://localhost:1", secure=False) == "localhost:1"
    for target, secure in (
        ("http://localhost:1", True),
        ("https://localhost:1", False),
        ("https://localhost:1/path", True),
        ("https://user:pw@localhost:1", True),
    ):
        with pytest.raises(ValueError, match="address"):
            bare_address(target, secure=secure)


@pytest.mark.parametrize("targets", ["tokens.internal:50051", ["localhost:1", "10.0.0.1:1"]])
def test_no_plaintext_beyond_this_machine_unless_allowed(targets: Any) -> None:
    with pytest.raises(ValueError, match="in the clear"):
        Connection(targets, CALLER)
    Connection(targets, CALLER, allow_plaintext=True)
    Connection(targets, CALLER, tls=Tls())


@pytest.mark.parametrize(
    "options",
    [
        {"targets": []},
        {"targets": ""},
        {"channels": 0},
        {"credentials": ClientCertificate("shop")},
        {"credentials": ClientCertificate("shop"), "tls": Tls()},
    ],
)
def test_what_cannot_work_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Connection(**{"targets": "localhost:1", "credentials": CALLER, **options})


def test_a_certificate_without_its_key_is_refused() -> None:
    with pytest.raises(ValueError, match="together"):
        Tls(certificate=b"pem")


async def test_a_secret_is_quoted_for_the_header() -> None:
    value = await CALLER.authorization()
    assert base64.b64decode(value.removeprefix("Basic ")) == b"shop:s3cret-%3A%25-value"
    for client_id, secret in (("", "x"), ("x", "")):
        with pytest.raises(ValueError, match="needed"):
            ClientSecret(client_id, secret)


async def test_no_repr_shows_a_secret() -> None:
    key = Tls(certificate=b"chain", key=b"PRIVATE")
    shown = f"{CALLER!r} {key!r} {Connection('localhost:1', CALLER)!r}"
    for secret in (SECRET, (await CALLER.authorization())[6:], "PRIVATE"):
        assert secret not in shown


async def test_a_certificate_speaks_by_the_client_id_alone() -> None:
    tls = Tls(certificate=b"chain", key=b"key")
    connection = Connection("localhost:1", ClientCertificate("shop"), tls=tls)
    assert await connection.metadata() == (("x-client-id", "shop"),)


class Supplier:
    """Gives numbered tokens."""

    def __init__(self) -> None:
        self.given = 1

    async def token(self) -> str:
        return f"token-{self.given}"

    def rejected(self, token: str) -> None:
        if token == f"token-{self.given}":
            self.given += 1


async def test_a_refused_access_token_is_replaced() -> None:
    connection = Connection("localhost:1", AccessTokenCredentials(Supplier()))
    refused = await connection.metadata()
    assert refused == (("authorization", "Bearer token-1"),)
    assert connection.rejected(refused)
    assert await connection.metadata() == (("authorization", "Bearer token-2"),)
    assert not Connection("localhost:1", CALLER).rejected(refused)


async def test_a_closed_connection_says_so() -> None:
    async with Connection("localhost:1", CALLER) as connection:
        assert connection.stubs() is not connection.stubs()
    with pytest.raises(RuntimeError, match="closed"):
        connection.stubs()
    await connection.close()


async def test_another_loop_is_told_apart() -> None:
    async with Connection("localhost:1", CALLER) as connection:

        async def elsewhere() -> None:
            connection.stubs()

        with pytest.raises(RuntimeError, match="event loop"):
            await asyncio.to_thread(asyncio.run, elsewhere())


async def test_files_are_read_when_the_connection_opens(tmp_path: Path) -> None:
    connection = Connection("localhost:1", CALLER, tls=Tls(authorities=tmp_path / "absent"))
    with pytest.raises(FileNotFoundError):
        await connection.__aenter__()


async def test_a_failed_opening_is_tried_again(tmp_path: Path) -> None:
    missing = tmp_path / "ca"
    connection = Connection("localhost:1", CALLER, tls=Tls(authorities=missing))
    with pytest.raises(FileNotFoundError):
        connection.stubs()
    missing.write_bytes(b"not read before the first handshake")
    connection.stubs()
    await connection.close()


@pytest.fixture
def silent() -> Iterator[list[str]]:
    """Two servers that take connections and say nothing: channels to them stay on the way."""
    nowhere = ("127.0.0.1", 0)
    with socket.create_server(nowhere) as one, socket.create_server(nowhere) as two:
        yield [f"127.0.0.1:{listening.getsockname()[1]}" for listening in (one, two)]


async def test_a_server_that_did_not_answer_comes_last_for_a_while(silent: list[str]) -> None:
    now = 0.0
    async with Connection(silent, CALLER, channels=3, clock=lambda: now) as connection:
        first, second = connection.stubs(), connection.stubs()
        connection.failed(first, unreachable())
        others = {id(connection.stubs()) for _ in range(12)}
        assert len(others) == 3
        assert id(second) in others
        connection.failed(second, unreachable())
        assert len({id(connection.stubs()) for _ in range(12)}) == 6
        now = 5.0
        assert len({id(connection.stubs()) for _ in range(12)}) == 6
