"""Where commands that work on the stores find them."""

from pathlib import Path

import pytest

from token_service.app.development import SECRET_KEYS_FILE, new_secret_keys
from token_service.cli import variables
from token_service.cli.calling import demo_file
from token_service.cli.calling.demo_file import DemoClient, DemoFile, DemoUser
from token_service.cli.local.deployment import (
    database_settings,
    development_environment,
    server_settings,
    store_environment,
)
from token_service.cli.output import Output
from token_service.cli.problems import CliError
from token_service.config import Settings

DSN = "postgres://user:password@localhost/name"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TOKEN_SERVICE_POSTGRES_DSN", raising=False)
    monkeypatch.delenv("TOKEN_SERVICE_POSTGRES_DSN_FILE", raising=False)
    monkeypatch.setenv(variables.DATA_DIR, str(tmp_path))
    demo_file.write_private(tmp_path / SECRET_KEYS_FILE, new_secret_keys())
    return tmp_path


def write_demo(folder: Path) -> None:
    demo = DemoFile(
        "127.0.0.1:1", DSN, "unix:///s", {"a": DemoClient("a", "s")}, DemoUser("u", "p")
    )
    demo_file.write(folder, demo)


def test_a_development_server_has_stores_and_secrets_of_its_own(folder: Path) -> None:
    production = {
        "TOKEN_SERVICE_POSTGRES_DSN": "postgres://production",
        "TOKEN_SERVICE_POSTGRES_DSN_FILE": "/production",
        "TOKEN_SERVICE_REDIS_URL": "redis://production",
        "TOKEN_SERVICE_SECRET_KEYS": "production",
        "TOKEN_SERVICE_SECRET_KEYS_FILE": "/production",
        "TOKEN_SERVICE_LOG_LEVEL": "debug",
    }
    variables = development_environment(folder, DSN, "unix:///s", production)
    assert "production" not in " ".join(variables.values())
    settings = server_settings(variables)
    assert settings.postgres_dsn.get_secret_value() == DSN
    assert (settings.log_level, settings.environment) == ("debug", "development")
    assert settings.reflection
    assert settings.open_registration


def address_of(settings: Settings) -> str:
    return settings.postgres_dsn.get_secret_value()


def test_where_no_database_is_named_the_development_servers_is_meant(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_demo(folder)
    assert address_of(database_settings(Output())) == DSN
    assert store_environment(Output())["TOKEN_SERVICE_POSTGRES_DSN"] == DSN
    assert "development server" in capsys.readouterr().err


def test_a_database_that_is_named_is_meant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_demo(folder)
    named = "postgres://other@localhost/other"
    monkeypatch.setenv("TOKEN_SERVICE_POSTGRES_DSN", named)
    assert address_of(database_settings(Output())) == named
    assert store_environment(Output())["TOKEN_SERVICE_POSTGRES_DSN"] == named


@pytest.mark.usefixtures("folder")
def test_without_any_database_the_setting_is_named() -> None:
    with pytest.raises(CliError, match="TOKEN_SERVICE_POSTGRES_DSN: is required"):
        database_settings(Output())


@pytest.mark.usefixtures("folder")
def test_an_unusable_address_is_refused_without_being_quoted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOKEN_SERVICE_POSTGRES_DSN", "mysql://user:canary@localhost/x")
    with pytest.raises(CliError) as caught:
        database_settings(Output())
    assert "TOKEN_SERVICE_POSTGRES_DSN" in caught.value.message
    assert "canary" not in caught.value.message
