"""What is printed to be pasted is quoted, and holds no secret."""

from pathlib import Path

import pytest

from token_service.cli.calling.demo_file import DemoClient, DemoFile, DemoUser
from token_service.cli.local.banner import banner
from token_service.cli.local.snippets import snippets

DEMO = DemoFile(
    grpc="127.0.0.1:50051",
    postgres="dsn",
    redis="url",
    clients={"demo-web": DemoClient("demo-web", "web-secret")},
    user=DemoUser("alice", "her-password"),
)


def test_a_folder_with_blanks_is_quoted_in_every_line() -> None:
    for snippet in snippets("127.0.0.1:1", Path("/with a blank/dev")):
        for line in snippet.text.splitlines():
            assert "/with a blank" not in line.replace("'/with a blank/dev", "")


def test_the_usual_folder_needs_no_word(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    own = snippets("127.0.0.1:1", Path("var/dev"))[0]
    assert "TOKEN_SERVICE_DATA_DIR" not in own.text


def test_secrets_are_shown_on_a_terminal_alone() -> None:
    path = Path("/dev-data/credentials.json")
    kept = banner(DEMO, path, secrets_too=False)
    assert "web-secret" not in kept
    assert "her-password" not in kept
    shown = banner(DEMO, path, secrets_too=True)
    assert "web-secret" in shown
    assert "her-password" in shown
