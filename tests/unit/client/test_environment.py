"""Connections as the environment describes them."""

import os
from pathlib import Path
from typing import Any

import pytest

from tokenservice import (
    ClientCertificate,
    ClientSecret,
    ClientSecretFile,
    Connection,
    SyncConnection,
    Tls,
)
from tokenservice._transport.environment import read

SECRET = "s3cret-of-the-client"
WEB = {
    "TOKEN_SERVICE_SERVER": "127.0.0.1:50051",
    "TOKEN_SERVICE_CLIENT_ID": "web",
    "TOKEN_SERVICE_CLIENT_SECRET": SECRET,
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Files for each variable that names one; what is in them is not looked at here."""
    made = {}
    for name in ("CA_FILE", "CERTIFICATE_FILE", "KEY_FILE", "CLIENT_SECRET_FILE"):
        path = tmp_path / name.lower()
        path.write_text(f"{SECRET}\n")
        made[f"TOKEN_SERVICE_{name}"] = str(path)
    return made


def test_a_server_on_this_machine() -> None:
    assert read(WEB) == (("127.0.0.1:50051",), ClientSecret("web", SECRET), None)


@pytest.mark.parametrize("kind", [Connection, SyncConnection])
def test_both_sorts_of_connection(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in WEB.items():
        monkeypatch.setenv(name, value)
    assert "127.0.0.1:50051" in repr(kind.from_env(channels=1))
    assert "10.0.0.1:443" in repr(kind.from_env({**WEB, "TOKEN_SERVICE_SERVER": "10.0.0.1:443"}))


def test_several_servers_and_tls_where_one_is_elsewhere() -> None:
    server = "127.0.0.1:50051  tokens.internal:443"
    targets, _, tls = read({**WEB, "TOKEN_SERVICE_SERVER": server})
    assert (targets, tls) == (("127.0.0.1:50051", "tokens.internal:443"), Tls())


def test_tls_that_is_asked_for(files: dict[str, str]) -> None:
    https = read({**WEB, "TOKEN_SERVICE_SERVER": "https://127.0.0.1:50051"})
    assert https.tls == Tls()
    trusting = read({**WEB, "TOKEN_SERVICE_CA_FILE": files["TOKEN_SERVICE_CA_FILE"]})
    assert trusting.tls == Tls(Path(files["TOKEN_SERVICE_CA_FILE"]))


def test_a_secret_in_a_file(files: dict[str, str]) -> None:
    name = "TOKEN_SERVICE_CLIENT_SECRET_FILE"
    credentials = read({**WEB, "TOKEN_SERVICE_CLIENT_SECRET": " ", name: files[name]}).credentials
    assert isinstance(credentials, ClientSecretFile)
    assert credentials.client_secret == SECRET


def test_a_certificate_speaks_for_a_client_without_a_secret(files: dict[str, str]) -> None:
    del files["TOKEN_SERVICE_CLIENT_SECRET_FILE"]
    given = {**WEB, **files, "TOKEN_SERVICE_CLIENT_SECRET": ""}
    assert read(given).credentials == ClientCertificate("web")


def test_what_the_program_says_comes_first() -> None:
    remote = {**WEB, "TOKEN_SERVICE_SERVER": "tokens.internal:443"}
    assert Connection.from_env(remote, tls=None, allow_plaintext=True).targets == (
        "tokens.internal:443",
    )
    with pytest.raises(ValueError, match="in the clear"):
        Connection.from_env(remote, tls=None)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"TOKEN_SERVICE_SERVER": ""}, "TOKEN_SERVICE_SERVER is not set"),
        ({"TOKEN_SERVICE_CLIENT_ID": " "}, "TOKEN_SERVICE_CLIENT_ID is not set"),
        ({"TOKEN_SERVICE_CLIENT_SECRET": ""}, "set TOKEN_SERVICE_CLIENT_SECRET, "),
        ({"TOKEN_SERVICE_CLIENT_SECRET_FILE": "/dev/null"}, "are both set"),
        (
            {
                "TOKEN_SERVICE_CLIENT_SECRET": "",
                "TOKEN_SERVICE_CLIENT_SECRET_FILE": "/nowhere/secret",
            },
            "TOKEN_SERVICE_CLIENT_SECRET_FILE: cannot read /nowhere/secret: No such file",
        ),
        (
            {"TOKEN_SERVICE_CLIENT_SECRET": "", "TOKEN_SERVICE_CLIENT_SECRET_FILE": "/dev/null"},
            "TOKEN_SERVICE_CLIENT_SECRET_FILE: /dev/null holds no secret",
        ),
        ({"TOKEN_SERVICE_CA_FILE": "/nowhere/ca.pem"}, "TOKEN_SERVICE_CA_FILE: there is no file"),
        ({"TOKEN_SERVICE_KEY_FILE": __file__}, "TOKEN_SERVICE_CERTIFICATE_FILE and "),
    ],
)
def test_what_is_missing_or_unusable_is_named_and_no_secret_told(
    change: dict[str, str], named: str
) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        read({**WEB, **change})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["TOKEN_SERVICE_CLIENT_ID", "TOKEN_SERVICE_CLIENT_SECRET"])
def test_a_variable_that_is_no_text_is_named_and_not_told(name: str) -> None:
    given = os.fsdecode(b"\xff" + SECRET.encode())
    with pytest.raises(ValueError, match=f"{name} is not text") as caught:
        read({**WEB, name: given})
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    with pytest.raises(ValueError, match="must be Unicode text") as caught:
        ClientSecret("shop", given)
    assert SECRET not in repr(caught.value)
    assert caught.value.__context__ is None


def test_a_file_that_is_no_text_is_not_told(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"\xff" + SECRET.encode())
    given = {
        **WEB,
        "TOKEN_SERVICE_CLIENT_SECRET": "",
        "TOKEN_SERVICE_CLIENT_SECRET_FILE": str(path),
    }
    with pytest.raises(ValueError, match="is not text") as caught:
        read(given)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(ValueError, match="is not text") as caught:
        ClientSecretFile("shop", path)
    assert SECRET not in repr(caught.value)
    assert caught.value.__context__ is None
