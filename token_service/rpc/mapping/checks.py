"""Checks of single fields. Each raises FIELD_INVALID with the field's path and never repeats the
value. Everything here runs before any crypto or store.
"""

import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from token_service.domain.errors import invalid_field

MAX_TOKEN = 8192
MAX_NAME = 128
MAX_NOTE = 512
MAX_DURATION = timedelta(days=3660)
EXCHANGE_ID_BYTES = 16
THUMBPRINT_BYTES = 32
DEFAULT_PAGE = 50
MAX_PAGE = 500

Member = TypeVar("Member", bound=IntEnum)


def text(
    value: str,
    field: str,
    *,
    at_most: int = MAX_NAME,
    at_least: int = 0,
    printable: bool = True,
) -> str:
    """A text of `at_least` to `at_most` characters without control characters."""
    if not at_least <= len(value) <= at_most:
        wanted = f"{at_least} to {at_most}" if at_least else f"at most {at_most}"
        raise invalid_field(field, f"must have {wanted} characters")
    if printable and not value.isascii():
        if any(unicodedata.category(character).startswith("C") for character in value):
            raise invalid_field(field, "must not have control characters")
    elif printable and not value.isprintable():
        raise invalid_field(field, "must not have control characters")
    return value


def required(value: str, field: str, *, at_most: int = MAX_NAME) -> str:
    """A text that must not be empty or blank."""
    if not text(value, field, at_most=at_most, at_least=1).strip():
        raise invalid_field(field, "must not be blank")
    return value


def token(value: str, field: str = "token") -> str:
    """A token to exchange or revoke: present and not longer than any of ours."""
    if not 0 < len(value) <= MAX_TOKEN:
        raise invalid_field(field, f"must have 1 to {MAX_TOKEN} characters")
    if "\0" in value:
        raise invalid_field(field, "must not have control characters")
    return value


def names(
    values: Iterable[str], field: str, *, at_most: int, longest: int = MAX_NAME
) -> tuple[str, ...]:
    """A list of distinct names: visible ASCII without blanks, quotes or backslashes
    (RFC 6749, scope-token)."""
    listed = tuple(values)
    if len(listed) > at_most:
        raise invalid_field(field, f"must have at most {at_most} entries")
    for index, value in enumerate(listed):
        name(value, f"{field}[{index}]", longest=longest)
    return tuple(dict.fromkeys(listed))


def name(value: str, field: str, *, longest: int = MAX_NAME) -> str:
    """One name: visible ASCII without blanks, quotes or backslashes."""
    if not 1 <= len(value) <= longest:
        raise invalid_field(field, f"must have 1 to {longest} characters")
    visible = value.isascii() and value.isprintable()
    if not visible or any(character in value for character in ' "\\'):
        raise invalid_field(field, "must be visible ASCII without blanks, quotes, backslashes")
    return value


def uuid(value: str, field: str) -> UUID:
    """A UUID in its canonical form: lower case with hyphens."""
    try:
        parsed = UUID(value)
    except ValueError as error:
        raise invalid_field(field, "must be a UUID") from error
    if str(parsed) != value:
        raise invalid_field(field, "must be a UUID in lower case with hyphens")
    return parsed


def exact_bytes(value: bytes, field: str, length: int) -> bytes:
    """Bytes of `length`, or none."""
    if value and len(value) != length:
        raise invalid_field(field, f"must have exactly {length} bytes")
    return value


def member(value: int, field: str, kind: type[Member], *, optional: bool = False) -> Member:
    """A known member of an enum; UNSPECIFIED only if `optional`."""
    try:
        found = kind(value)
    except ValueError as error:
        raise invalid_field(field, "is not a known value") from error
    if not found and not optional:
        raise invalid_field(field, "must be given")
    return found


def wire(value: IntEnum) -> Any:  # noqa: ANN401 - each enum field has a type of its own
    """The number of an enum member, for a message: both sides have the same numbers."""
    return value.value


def duration(value: Duration, field: str, *, at_most: timedelta = MAX_DURATION) -> timedelta:
    """A duration of zero or more."""
    if not 0 <= value.seconds <= at_most.total_seconds() or not 0 <= value.nanos < 1_000_000_000:
        raise invalid_field(field, "is out of range")
    return timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


def timestamp(value: Timestamp, field: str) -> datetime:
    """A point in time between the years 1970 and 9999."""
    if not 0 <= value.seconds < 253_402_300_800 or not 0 <= value.nanos < 1_000_000_000:
        raise invalid_field(field, "is out of range")
    return datetime.fromtimestamp(value.seconds, UTC) + timedelta(microseconds=value.nanos // 1000)


def page_size(value: int, field: str = "page_size") -> int:
    """A page size; 0 is the default."""
    if not 0 <= value <= MAX_PAGE:
        raise invalid_field(field, f"must be 0 to {MAX_PAGE}")
    return value or DEFAULT_PAGE


def page_token(value: str, field: str = "page_token") -> str:
    """A page token as it was given out."""
    return text(value, field, at_most=512)
