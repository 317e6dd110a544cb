"""Which server is called, and with whose credentials."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from token_service.cli import variables
from token_service.cli.calling import demo_file
from token_service.cli.calling.demo_file import DemoClient, DemoFile, DemoUser
from token_service.cli.calling.target import Identity, Wishes, is_local, resolve
from token_service.cli.problems import CliError
from tokenservice._transport import environment

DEMO = DemoFile(
    grpc="127.0.0.1:50051",
    postgres="postgres://",
    redis="unix://",
    clients={"demo-web": DemoClient("demo-web", "web-secret"), "other": DemoClient("o", "s")},
    user=DemoUser("alice", "a password"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    demo_file.write(tmp_path, DEMO)
    return tmp_path


def test_without_a_word_the_development_server_is_called(folder: Path) -> None:
    target = resolve(Wishes(data_dir=folder), "demo-web")
    assert target.address == DEMO.grpc
    assert target.identity == Identity("demo-web", "web-secret")
    assert target.demo == DEMO
    assert not target.tls


def test_another_demo_client_can_be_named(folder: Path) -> None:
    target = resolve(Wishes(data_dir=folder, demo_client="other"), "demo-web")
    assert target.identity == Identity("o", "s")


def test_an_unknown_demo_client_is_refused_with_those_there_are(folder: Path) -> None:
    with pytest.raises(CliError, match="demo-web, other"):
        resolve(Wishes(data_dir=folder, demo_client="nobody"), "demo-web")


def test_given_credentials_come_first(folder: Path) -> None:
    wishes = Wishes(server="localhost:1", client_id="me", client_secret="mine", data_dir=folder)
    target = resolve(wishes, "demo-web")
    assert (target.address, target.identity) == ("localhost:1", Identity("me", "mine"))
    assert target.demo is None


NO_TEXT = os.fsdecode(b"canary\xff")


@pytest.mark.parametrize(
    ("wishes", "name"),
    [
        (Wishes(client_id=NO_TEXT, client_secret="mine"), "TOKEN_SERVICE_CLIENT_ID"),
        (Wishes(client_id="me", client_secret=NO_TEXT), "TOKEN_SERVICE_CLIENT_SECRET"),
    ],
)
def test_a_credential_that_is_no_text_is_named_and_not_told(
    folder: Path, wishes: Wishes, name: str
) -> None:
    with pytest.raises(CliError, match=f"{name} is not text") as caught:
        resolve(replace(wishes, data_dir=folder), "demo-web")
    assert "canary" not in repr(caught.value)


def test_the_secret_may_be_in_a_file(folder: Path) -> None:
    secret = folder / "secret"
    secret.write_text("from a file\n")
    wishes = Wishes(client_id="me", client_secret_file=secret, data_dir=folder)
    assert resolve(wishes, "demo-web").identity == Identity("me", "from a file")


def test_demo_secrets_are_never_sent_to_another_server(folder: Path) -> None:
    with pytest.raises(CliError, match=r"TOKEN_SERVICE_CLIENT_ID.* or --as NAME"):
        resolve(Wishes(server="auth.example.com:443", data_dir=folder), "demo-web")


def test_a_client_without_a_secret_names_the_variable(folder: Path) -> None:
    with pytest.raises(CliError, match="TOKEN_SERVICE_CLIENT_SECRET"):
        resolve(Wishes(client_id="me", data_dir=folder), "demo-web")


def test_without_a_server_the_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="TOKEN_SERVICE_SERVER"):
        resolve(Wishes(data_dir=tmp_path), "demo-web")


def test_registering_needs_no_credentials(folder: Path) -> None:
    assert resolve(Wishes(data_dir=folder), "demo-web", anonymous=True).identity is None
    named = Wishes(data_dir=folder, demo_client="demo-web")
    assert resolve(named, "demo-web", anonymous=True).identity is not None


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("localhost:1", True),
        ("unix:/run/x.sock", True),
        ("10.0.0.1:1", False),
        ("localhost.example.com:1", False),
        ("127.0.0.1.example.com:1", False),
        ("[::", False),
    ],
)
def test_only_this_machine_is_local(address: str, local: bool) -> None:
    assert is_local(address) is local


@pytest.mark.parametrize(
    ("address", "called", "tls"),
    [
        ("auth.example.com:443", "auth.example.com:443", True),
        ("https://auth.example.com:443/", "auth.example.com:443", True),
        ("https://localhost:1", "localhost:1", True),
        ("http://localhost:1", "localhost:1", False),
        ("localhost:1", "localhost:1", False),
    ],
)
def test_secrets_travel_encrypted_off_this_machine(address: str, called: str, tls: bool) -> None:
    target = resolve(Wishes(server=address, client_id="me", client_secret="mine"), "demo-web")
    assert (target.address, target.tls) == (called, tls)


def test_plaintext_to_another_machine_must_be_asked_for() -> None:
    wishes = Wishes(server="http://auth.example.com:80", client_id="me", client_secret="mine")
    with pytest.raises(CliError, match="--plaintext"):
        resolve(wishes, "demo-web")
    plain = Wishes(
        server="auth.example.com:80", client_id="me", client_secret="mine", plaintext=True
    )
    assert not resolve(plain, "demo-web").tls


def test_an_authority_means_tls_also_here(tmp_path: Path) -> None:
    wishes = Wishes(
        server="localhost:1", client_id="me", client_secret="mine", ca_file=tmp_path / "ca.pem"
    )
    assert resolve(wishes, "demo-web").tls


def test_an_address_with_another_scheme_is_refused() -> None:
    wishes = Wishes(server="ftp://host:1", client_id="me", client_secret="mine")
    with pytest.raises(CliError, match="host:port"):
        resolve(wishes, "demo-web")


def test_no_secret_shows_in_what_is_printed_of_a_target(folder: Path) -> None:
    shown = repr(resolve(Wishes(data_dir=folder, client_secret="mine"), "demo-web"))
    for secret in ("web-secret", "a password", "postgres://", "mine"):
        assert secret not in shown


def test_several_servers_are_called_alike() -> None:
    local = Wishes(server="127.0.0.1:1 localhost:2", client_id="me", client_secret="mine")
    assert (resolve(local, "").address, resolve(local, "").tls) == (local.server, False)
    mixed = Wishes(server="127.0.0.1:1 https://a.example:2", client_id="me", client_secret="mine")
    target = resolve(mixed, "")
    assert (target.address, target.tls) == ("127.0.0.1:1 a.example:2", True)


def test_programs_and_commands_are_told_by_the_same_variables() -> None:
    names = {
        value for value in vars(environment).values() if str(value).startswith("TOKEN_SERVICE_")
    }
    assert names < variables.OF_THE_COMMAND_LINE
    assert len(names) == 7
