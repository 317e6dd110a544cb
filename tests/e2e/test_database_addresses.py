"""Every command reads the address of the database in the same way, and refuses it in one line."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import CommandLine
from token_service.adapters.crypto.configured_secrets import SecretKeys

CANARY = "kanarienvogel"
ADDRESSES = [
    f"postgresql://user:{CANARY}@word@db.example/tokens",
    f"postgresql://user:{CANARY}#word@db.example/tokens",
    f"postgresql://user:{CANARY}?word@db.example/tokens",
    f"postgresql://user:{CANARY}@db.example/tokens?channel_binding=require",
    f"postgresql://user:{CANARY}@db.example/tokens?sslmode=verify-full",
    f"postgresql://user:{CANARY}@db.example/tokens?sslmode=requires",
    f"postgresql://user:{CANARY}@db.example/tokens?sslmode=require&",
    f"postgresql://user:{CANARY}@db.example/tokens?pool_size=3",
    f"postgresql://user:{CANARY}@one,two:x/tokens",
]
COMMANDS = [("migrate",), ("restore-fence", "--yes"), ("client", "bootstrap"), ("serve",)]


@pytest.fixture
def resolved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that were asked of the DNS."""
    names: list[str] = []
    real = socket.getaddrinfo

    def asked(host: Any, *arguments: Any, **options: Any) -> object:
        names.append(str(host))
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", asked)
    return names


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("setting", ["postgres_dsn", "postgres_direct_dsn"])
def test_what_cannot_be_said_right_is_one_line_from_every_command(
    address: str, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resolved: list[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    variables = {
        "postgres_dsn": "postgresql://u@h/d",
        "secret_keys": SecretKeys.generate_text(),
        "issuer": "https://auth.example.com",
        setting: address,
    }
    operator = CommandLine(tmp_path).with_variables(**variables)
    ran = [operator.run(*command) for command in COMMANDS]
    assert {one.code for one in ran} == {2}
    lines = {line for one in ran for line in one.err.splitlines() if setting.upper() in line}
    assert len(lines) == 1
    doctor = operator.run("doctor", "--json")
    (check,) = json.loads(doctor.out)["checks"]
    assert check["detail"] in lines
    assert check["detail"].startswith(f"TOKEN_SERVICE_{setting.upper()}: ")
    said = "".join(one.out + one.err for one in (*ran, doctor))
    assert CANARY not in said
    assert "word@" not in said
    assert "Traceback" not in said
    assert resolved == []
