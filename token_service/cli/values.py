"""Values of the client package as people read them and as scripts do."""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, IntEnum
from typing import Any

ABSENT = "-"
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "m"))
_WIDE = ("revision", "from_revision")
"""64-bit numbers: text in JSON, as in protobuf's form of it, since some readers round them."""


def as_json(value: object) -> Any:  # noqa: ANN401 - any JSON
    """Return what JSON has of a value; what is None is left out.

    Enums have the names of the API, times are RFC 3339 texts, durations `300s`, bytes base64.
    """
    match value:
        case IntEnum():
            return f"{_prefix(type(value))}_{value.name}"
        case Enum():
            return value.value
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            return f"{value.total_seconds():.6f}".rstrip("0").rstrip(".") + "s"
        case bytes():
            return base64.b64encode(value).decode()
        case tuple() | list():
            return [as_json(one) for one in value]
        case frozenset():
            return sorted(as_json(one) for one in value)
        case _ if is_group(value):
            present = [(name, one) for name, one in parts_of(value) if one is not None]
            return {name: str(one) if name in _WIDE else as_json(one) for name, one in present}
        case _:
            return value


def fields_of(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """Return (label, text) of each part that is there; labels of parts inside have dots."""
    pairs: list[tuple[str, str]] = []
    for name, one in parts_of(value):
        label = f"{prefix}{name}"
        if is_group(one):
            pairs += fields_of(one, f"{label}.")
        elif isinstance(one, tuple) and any(map(is_group, one)):
            for number, item in enumerate(one):
                pairs += fields_of(item, f"{label}[{number}].")
        elif one is not None:
            pairs.append((label, text_of(one)))
    return pairs


def text_of(value: object) -> str:
    """Return what people read of a single value."""
    match value:
        case None:
            return ABSENT
        case bool():
            return "yes" if value else "no"
        case Enum():
            return ABSENT if value.name == "UNSPECIFIED" else value.name.lower()
        case datetime():
            return time_text(value)
        case timedelta():
            return duration_text(value.total_seconds())
        case bytes():
            return value.hex() or ABSENT
        case tuple() | list():
            return ", ".join(map(text_of, value)) or ABSENT
        case frozenset():
            return ", ".join(sorted(map(text_of, value))) or ABSENT
        case _:
            return str(value) or ABSENT


def time_text(value: datetime) -> str:
    """Return a moment in UTC, to the second."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def duration_text(seconds: float) -> str:
    """Return a span in its largest unit that fits without a rest: 5m, 12h, 90s, 0.5s."""
    if seconds and seconds == int(seconds):
        for size, unit in _UNITS:
            if seconds % size == 0:
                return f"{int(seconds) // size}{unit}"
    return f"{seconds:g}s"


def cell_of(value: object, path: str) -> str:
    """Return the text of one part; a dot goes into a part."""
    for name in path.split("."):
        value = getattr(value, name)
    return text_of(value)


def is_group(value: object) -> bool:
    """Whether a value has parts with names."""
    return isinstance(value, Mapping) or (is_dataclass(value) and not isinstance(value, type))


def parts_of(value: object) -> Iterable[tuple[str, Any]]:
    """Return the parts of a group with their names."""
    if isinstance(value, Mapping):
        return value.items()
    named: Any = value
    return ((one.name, getattr(value, one.name)) for one in fields(named))


def _prefix(kind: type[IntEnum]) -> str:
    """What the API's names of an enum begin with: TOKEN_KIND for TokenKind."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).upper()
