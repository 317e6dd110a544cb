"""Reads the settings from the environment and from the files that it names."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from token_service.config import consistency
from token_service.config.checks import UnusableError
from token_service.config.settings import PREFIX, Settings
from token_service.config.values import Group

FILE_SUFFIX = "_FILE"

# Kubernetes sets these in every pod beside a service called "token-service".
_SET_BY_KUBERNETES = re.compile(r"SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_.*)?")


class ConfigError(Exception):
    """The configuration cannot be used. The text is for people: a line per setting at fault."""


def load(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of `environment` (the process's own). Raises ConfigError, which names each
    setting at fault and never a value."""
    present = os.environ if environment is None else environment
    values = {
        name.removeprefix(PREFIX).lower(): text
        for name, text in present.items()
        if name.startswith(PREFIX) and text
    }
    files = _files(values)
    problems = [problem for name in secret_names() if (problem := _take_file(name, values))]
    if not problems:
        try:
            settings = Settings(**_known(values))
            consistency.check(settings)
        except ValidationError as error:
            problems = [_line(detail) for detail in error.errors(include_url=False)]
        except UnusableError as error:
            problems = [f"{PREFIX}{error.name.upper()}: {error}"]
        else:
            return settings.from_files(files)
    raise ConfigError("\n".join(problems)) from None


def unknown_variables(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Variables with our prefix that mean nothing, probably misspelt; worth a warning."""
    present = os.environ if environment is None else environment
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= {PREFIX + name.upper() + FILE_SUFFIX for name in secret_names()}
    return tuple(
        sorted(
            name
            for name in present
            if name.startswith(PREFIX)
            and name not in known
            and not _SET_BY_KUBERNETES.fullmatch(name.removeprefix(PREFIX))
        )
    )


def secret_names() -> tuple[str, ...]:
    """Settings that hold a secret and may come from a file."""
    return tuple(name for name, field in Settings.model_fields.items() if _is_secret(field))


def settings_table() -> str:
    """All settings as Markdown tables, one for each group."""
    groups = [group for group in reversed(Settings.__bases__) if issubclass(group, Group)]
    return "\n".join(line for group in groups for line in _table(group))


def _table(group: type[Group]) -> Iterator[str]:
    yield f"**{group.__name__}**\n"
    yield "| Variable | Default | Meaning |"
    yield "| --- | --- | --- |"
    for name, field in group.model_fields.items():
        variable = f"`{PREFIX}{name.upper()}`"
        if _is_secret(field):
            variable += f" or `…{FILE_SUFFIX}`"
        yield f"| {variable} | {_default(field)} | {field.description} |"
    yield ""


def _default(field: FieldInfo) -> str:
    default = field.default
    if field.is_required() or default is None:
        return ""
    if isinstance(default, tuple):
        return f"`{','.join(default)}`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    if hasattr(default, "total_seconds"):
        return f"`{_duration(default.total_seconds())}`"
    return f"`{default}`"


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds * 1000:g}ms"


def _is_secret(field: FieldInfo) -> bool:
    return field.annotation in {SecretStr, SecretStr | None}


def _files(values: Mapping[str, str]) -> dict[str, Path]:
    named = ((name, values.get(name + FILE_SUFFIX.lower(), "")) for name in secret_names())
    return {name: Path(path) for name, path in named if path}


def _take_file(name: str, values: dict[str, str]) -> str:
    """Put what the setting's file holds among the values; the problem, if there is one."""
    path = values.pop(name + FILE_SUFFIX.lower(), "")
    variable = PREFIX + name.upper()
    if path and name in values:
        return f"{variable}: set it or {variable}{FILE_SUFFIX}, not both"
    try:
        if path:
            values[name] = Path(path).read_text("utf-8").strip()
    except OSError as error:
        return f"{variable}{FILE_SUFFIX}: the file cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        return f"{variable}{FILE_SUFFIX}: the file is not text"
    return ""


def _known(values: Mapping[str, str]) -> dict[str, Any]:
    return {name: text for name, text in values.items() if name in Settings.model_fields}


def _line(detail: ErrorDetails) -> str:
    """One problem, without the value: only our own messages and pydantic's fixed ones."""
    name = str(next(iter(detail["loc"]), ""))
    if detail["type"] == "missing":
        return f"{PREFIX}{name.upper()}: is required"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{PREFIX}{name.upper()}: {message}"
