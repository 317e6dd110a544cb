"""The development server's credentials: private, whole, and never half written."""

import json
import os
import stat
from pathlib import Path

import pytest

from token_service.cli import variables
from token_service.cli.calling import demo_file
from token_service.cli.calling.demo_file import DemoClient, DemoFile, DemoUser
from token_service.cli.problems import CliError

DEMO = DemoFile(
    grpc="127.0.0.1:1",
    postgres="dsn",
    redis="url",
    clients={"demo-web": DemoClient("web-id", "secret")},
    user=DemoUser("alice", "password"),
)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    path = demo_file.write(tmp_path, DEMO)
    assert demo_file.read(tmp_path) == DEMO
    assert json.loads(path.read_text()) == {
        "grpc": "127.0.0.1:1",
        "postgres": "dsn",
        "redis": "url",
        "clients": {"demo-web": {"client_id": "web-id", "client_secret": "secret"}},
        "user": {"username": "alice", "password": "password"},
    }


def test_only_the_owner_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        path = demo_file.write(tmp_path, DEMO)
        again = demo_file.write(tmp_path, DEMO)
    finally:
        os.umask(former)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [again.name]


def test_a_file_left_by_a_crash_does_not_stand_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".credentials.json.new").write_text("half of i")
    demo_file.write(tmp_path, DEMO)
    assert demo_file.read(tmp_path) == DEMO


def test_a_name_is_found_by_the_client_id(tmp_path: Path) -> None:
    assert DEMO.name_of("web-id") == "demo-web"
    assert DEMO.name_of("nobody") is None


def test_no_file_is_no_error(tmp_path: Path) -> None:
    assert demo_file.read(tmp_path) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"grpc": 1, "clients": []}', "\xff"])
def test_a_damaged_file_is_named_and_not_quoted(tmp_path: Path, text: str) -> None:
    (tmp_path / demo_file.FILE_NAME).write_text(text + "secret", encoding="latin-1")
    with pytest.raises(CliError) as caught:
        demo_file.read(tmp_path)
    assert demo_file.FILE_NAME in caught.value.message
    assert "secret" not in caught.value.message


def test_the_folder_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(variables.DATA_DIR, raising=False)
    assert demo_file.data_dir() == Path("var/dev")
    monkeypatch.setenv(variables.DATA_DIR, "/elsewhere")
    assert demo_file.data_dir() == Path("/elsewhere")
