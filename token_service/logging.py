"""Structured logs: JSON for machines, a console for people, and no secret in either.

Our own code logs no secrets; what redacts here is the second line of defence, and it works on the
finished line, so that nothing gets past it in an exception's text or a library's message.
"""

import logging
import re
import sys
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "[hidden]"
_KEEP_LABEL = rf"\1{HIDDEN}"

_PATTERNS = (
    # Tokens, client secrets and registration secrets of this service.
    re.compile(r"()tsk_[a-z]{1,8}_[A-Za-z0-9_-]{6,}"),
    # A JWS in compact form, or what is left of one: its header is always a JSON object.
    re.compile(r"()eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){0,4}"),
    # Values of an Authorization header.
    re.compile(r"(?i)\b((?:basic|bearer)\s+)[A-Za-z0-9+/_=.~-]{6,}"),
    # User and password in a URL.
    re.compile(r"(://)[^\s/@\"']*:[^\s/\"']*(?=@)"),
    # password=x as in a connection string; password='x' and "password": "x" as Python writes it,
    # also inside a JSON string.
    re.compile(r"(?i)((?:password|secret|otp_code)\w*=)[^\s\"'\\,;)}&]+"),
    re.compile(r"(?i)((?:password|secret|otp_code)\w*\\?[\"']?\s*[=:]\s*\\?[\"'])[^\"'\\]+"),
    # Entries of TOKEN_SERVICE_SECRET_KEYS, and private keys in PEM.
    re.compile(r"()\b[A-Za-z0-9][A-Za-z0-9._-]{0,15}:[A-Za-z0-9_-]{43,}={0,2}"),
    re.compile(r"()-----BEGIN [A-Z ]*PRIVATE KEY-----[^\"-]*"),
)
_SECRET_NAMES = re.compile(
    r"(?i)(^|_)(password|secret|secret_keys|authorization|token|session_token|access_token|"
    r"otp_code|dsn|postgres_dsn|redis_url|private_key|exchange_id)$"
)


def redact(text: str) -> str:
    """`text` with everything hidden that looks like a secret."""
    for pattern in _PATTERNS:
        text = pattern.sub(_KEEP_LABEL, text)
    return text


def configure(
    level: Literal["debug", "info", "warning", "error"] = "info",
    style: Literal["json", "console"] = "json",
    stream: TextIO | None = None,
    fields: Mapping[str, object] | None = None,
) -> None:
    """Send structlog's and the standard library's records to `stream` (stderr), a line each, with
    `fields` in all of them."""
    constant = dict(fields or {})

    def add_constant(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        del logger, method
        return {**constant, **event}

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_constant,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_named_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_RedactingFormatter(shared, _renderers(style, handler.stream)))
    root = logging.getLogger()
    for former in tuple(root.handlers):
        root.removeHandler(former)
    root.addHandler(handler)
    root.setLevel(level.upper())
    # Tells of each failed try to connect again, with a traceback; the circuit has told it once.
    logging.getLogger("asyncpg.pool").setLevel(logging.CRITICAL)
    logging.captureWarnings(True)


def hide_named_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Hide the values of fields whose names say that they are secret, at any depth."""
    del logger, method
    return {name: _hidden(name, value) for name, value in event.items()}


class _RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Looks at the finished line, whoever wrote it."""

    def __init__(self, shared: Iterable[Processor], renderers: Iterable[Processor]) -> None:
        super().__init__(
            foreign_pre_chain=list(shared),
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )

    def format(self, record: logging.LogRecord) -> str:
        """The line for `record`."""
        return redact(super().format(record))


def _renderers(style: str, stream: TextIO) -> list[Processor]:
    if style == "console":
        colors = stream.isatty()
        return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]


_traceback: Callable[[TextIO, Any], None] = structlog.dev.plain_traceback
"""Without the values of local variables, which may be secrets."""


def _hidden(name: str, value: Any) -> Any:  # noqa: ANN401 - whatever was logged
    if isinstance(value, MutableMapping):
        return {key: _hidden(str(key), inner) for key, inner in value.items()}
    if value and _SECRET_NAMES.search(name):
        return HIDDEN
    return value
