"""No secret reaches the log, whoever writes it and in whatever form."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import structlog

from token_service.logging import HIDDEN, configure, redact

JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLWNhbmFyeQ"
SESSION = "tsk_web_Y2FuYXJ5LWNhbmFyeS1jYW5hcnk"
SECRET = "k1:Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXJ5Y2FuYXI"
CANARIES = {
    SESSION: "Y2FuYXJ5LWNhbmFyeS1j",
    "tsk_cs_Y2FuYXJ5LWNhbmFyeS1jYW5hcnk": "Y2FuYXJ5",
    JWT: "c2lnbmF0dXJlLWNhbmFyeQ",
    JWT.rpartition(".")[0]: "eyJzdWIi",
    "authorization: Basic Y2FuYXJ5OmNhbmFyeQ==": "Y2FuYXJ5",
    "Bearer opaque-canary-value": "opaque-canary",
    "basic  Y2FuYXJ5OmNhbmFyeQ==": "Y2FuYXJ5",
    "postgresql://service:canary@db:5432/tokens": "canary",
    "postgresql://service:can:ary%40@db/tokens?sslmode=require": "ary%40",
    "redis://:canary@cache:6379/0": "canary",
    "host=db password=canary user=service": "canary",
    "host=db password='canary battery' user=service": "canary",
    "{'password': 'canary battery'}": "canary",
    'PasswordCredential(username="a", password="canary battery")': "canary",
    "client_secret=canary": "canary",
    f"TOKEN_SERVICE_SECRET_KEYS={SECRET}": "Y2FuYXJ5",
    SECRET: "Y2FuYXJ5",
    "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\nY2FuYXJ5\n-----END PRIVATE KEY-----": "Y2FuYXJ5",
}


@pytest.fixture
def logged(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What `configure` writes, in the style that the test asks for; undone afterwards."""
    style: Literal["json", "console"] = getattr(request, "param", "json")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    before = structlog.get_config()
    stream = io.StringIO()
    configure("info", style, stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)


BOTH = pytest.mark.parametrize("logged", ["json", "console"], indirect=True)


@pytest.mark.parametrize(("text", "canary"), CANARIES.items())
def test_what_looks_like_a_secret_is_hidden(text: str, canary: str) -> None:
    shown = redact(f"before {text} after")
    assert canary not in shown
    assert HIDDEN in shown
    assert shown.startswith("before ")


@BOTH
@pytest.mark.parametrize(("text", "canary"), CANARIES.items())
def test_nothing_secret_reaches_the_log(logged: io.StringIO, text: str, canary: str) -> None:
    log = structlog.stdlib.get_logger("test")
    log.warning("event", detail=text, nested={"list": [text]}, data=text.encode())
    log.warning(text)
    logging.getLogger("library").warning("by a library: %s", text)
    try:
        int(f"x {text}")
    except ValueError:
        log.exception("failed", local=text)
        logging.getLogger("library").exception("failed")
    assert canary not in logged.getvalue()
    assert logged.getvalue().count("ValueError") >= 2


@pytest.mark.parametrize("text", CANARIES)
def test_the_lines_stay_json(logged: io.StringIO, text: str) -> None:
    structlog.stdlib.get_logger("test").warning(text, detail={"inner": text})
    logging.getLogger("library").warning("%r", text)
    for line in logged.getvalue().splitlines():
        assert json.loads(line)["level"] == "warning"


@pytest.mark.parametrize(
    "name",
    ["password", "otp_code", "token", "session_token", "client_secret", "authorization", "dsn"],
)
@BOTH
def test_fields_with_secret_names_are_hidden(logged: io.StringIO, name: str) -> None:
    fields: dict[str, Any] = {name: "canary", "inner": {name: "canary"}}
    structlog.stdlib.get_logger("test").info("event", **fields)
    assert "canary" not in logged.getvalue()
    assert HIDDEN in logged.getvalue()


def test_values_of_locals_are_not_written(logged: io.StringIO) -> None:
    def inner(secret_of_this_call: str) -> None:
        raise ValueError(f"failed with {len(secret_of_this_call)} characters")

    try:
        inner("canary")
    except ValueError:
        structlog.stdlib.get_logger("test").exception("failed")
    assert "failed with 6 characters" in logged.getvalue()
    assert "'canary'" not in logged.getvalue().replace('inner(\\"canary\\")', "")


def test_a_line_says_when_who_and_what(logged: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        structlog.stdlib.get_logger("token_service.rpc").info("call", code="OK", caller="alice")
    line = json.loads(logged.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "call",
        "level": "info",
        "logger": "token_service.rpc",
        "request_id": "r-1",
        "code": "OK",
        "caller": "alice",
    }


def test_less_severe_lines_are_left_out(logged: io.StringIO) -> None:
    structlog.stdlib.get_logger("test").debug("unseen")
    logging.getLogger("library").debug("unseen")
    assert logged.getvalue() == ""


def test_warnings_are_lines_too(logged: io.StringIO) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("something old", stacklevel=1)
    assert "something old" in json.loads(logged.getvalue())["event"]


def test_ordinary_text_is_left_alone() -> None:
    text = (
        "2026-11-22T20:42:42Z call method=/tokenservice.v1.TokenService/Issue code=OK "
        "caller=demo-gateway request_id=4f2a-1c kid=0123456789abcdef "
        "session=0b5c1a52-3c6b-4f4e-8c0e-8f6d5d1f9a11 address=127.0.0.1:50051"
    )
    assert redact(text) == text
