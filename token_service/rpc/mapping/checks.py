"""Checks of single fields. Each raises FIELD_INVALID with the field's path and never repeats the
value. Everything here runs before any crypto or store.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from ipaddress import ip_address
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from token_service.domain.clients.policy_rules import is_audience, is_client_id, is_scope
from token_service.domain.errors import invalid_field
from token_service.domain.kinds import ACR_LEVELS
from token_service.domain.login.passwords import MAX_PASSWORD_BYTES
from tokenservice.core.limits import (
    CLIENT_ID_PATTERN,
    MAX_AUDIENCE_LENGTH,
    MAX_AUDIENCES,
    MAX_DEVICE_ID_LENGTH,
    MAX_DURATION,
    MAX_SCOPE_LENGTH,
    MAX_SCOPES,
    MAX_TOKEN_LENGTH,
)

MAX_NAME = 128
MAX_NOTE = 512
MAX_ADDRESS = 64
DEFAULT_PAGE = 50
MAX_PAGE = 500
MAX_PAGE_TOKEN = 1024

_CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Bidi classes of the characters that turn the direction of writing (UAX #9)."""
_KEY_ID = re.compile(r"[0-9a-f]{8}|[0-9a-f]{16}")
_DIGITS = re.compile(r"[0-9]{6,8}")

Member = TypeVar("Member", bound=IntEnum)


def text(value: str, field: str, *, at_most: int = MAX_NAME, at_least: int = 0) -> str:
    """A text of `at_least` to `at_most` characters that people can be shown: no control
    characters, nothing that breaks a line or turns the direction of writing."""
    if not at_least <= len(value) <= at_most:
        wanted = f"{at_least} to {at_most}" if at_least else f"at most {at_most}"
        raise invalid_field(field, f"must have {wanted} characters")
    if not value.isprintable() and any(map(_is_control, value)):
        raise invalid_field(field, "must not have control characters")
    return value


def _is_control(character: str) -> bool:
    turns = unicodedata.bidirectional(character) in _TURNS
    return turns or unicodedata.category(character) in _CONTROLS


def required(value: str, field: str, *, at_most: int = MAX_NAME) -> str:
    """A text that must not be empty or blank."""
    if not text(value, field, at_most=at_most, at_least=1).strip():
        raise invalid_field(field, "must not be blank")
    return value


def token(value: str, field: str = "token") -> str:
    """A token to exchange or revoke: present and not longer than any of ours."""
    if not 0 < len(value) <= MAX_TOKEN_LENGTH:
        raise invalid_field(field, f"must have 1 to {MAX_TOKEN_LENGTH} characters")
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


def audience(value: str, field: str) -> str:
    """An audience: 1 to 128 printable ASCII characters without spaces."""
    if not is_audience(value):
        raise invalid_field(
            field, f"must be 1 to {MAX_AUDIENCE_LENGTH} printable ASCII characters without spaces"
        )
    return value


def audiences(values: Sequence[str], field: str) -> tuple[str, ...]:
    """A list of audiences, each counted once."""
    return _each(values, field, MAX_AUDIENCES, audience)


def scope(value: str, field: str) -> str:
    """A scope: 1 to 64 characters of a scope-token (RFC 6749, section 3.3)."""
    if not is_scope(value):
        raise invalid_field(field, f"must be a scope-token of 1 to {MAX_SCOPE_LENGTH} characters")
    return value


def scopes(values: Sequence[str], field: str) -> tuple[str, ...]:
    """A list of scopes, each counted once."""
    return _each(values, field, MAX_SCOPES, scope)


def client_id(value: str, field: str, *, optional: bool = False) -> str:
    """A client id; empty only if `optional`."""
    if not is_client_id(value) and (value or not optional):
        raise invalid_field(field, f"must match {CLIENT_ID_PATTERN}")
    return value


def subject(value: str, field: str) -> str:
    """A user id or a client id; the shape of the latter covers both."""
    if not is_client_id(value):
        raise invalid_field(field, "must be a user id or a client id")
    return value


def device_id(value: str, field: str, *, optional: bool = False) -> str:
    """A device's id: 1 to 128 printable ASCII characters; empty only if `optional`."""
    if not value.isascii() or not value.isprintable():
        raise invalid_field(field, "must be printable ASCII characters")
    return text(value, field, at_most=MAX_DEVICE_ID_LENGTH, at_least=0 if optional else 1)


def address(value: str, field: str) -> str:
    """A network address in its one spelling (RFC 5952), since attempts are counted by it; or
    nothing. No zone (RFC 4007): it is free text that means nothing on another machine."""
    if not value:
        return ""
    try:
        parsed = ip_address(value) if len(value) <= MAX_ADDRESS and "%" not in value else None
    except ValueError:
        parsed = None
    if parsed is None:
        raise invalid_field(field, "must be an IPv4 or IPv6 address")
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def key_id(value: str, field: str) -> str:
    """A key's id: 8 or 16 lower-case hexadecimal digits."""
    if not _KEY_ID.fullmatch(value):
        raise invalid_field(field, "must be 8 or 16 lower-case hexadecimal digits")
    return value


def password(value: str, field: str) -> str:
    """A password: 1 to 1024 bytes of UTF-8."""
    if not 1 <= len(value.encode()) <= MAX_PASSWORD_BYTES:
        raise invalid_field(field, f"must have 1 to {MAX_PASSWORD_BYTES} bytes")
    if "\0" in value:
        raise invalid_field(field, "must not have control characters")
    return value


def one_time_code(value: str, field: str) -> str:
    """A one-time code of 6 to 8 digits, or nothing."""
    if value and not _DIGITS.fullmatch(value):
        raise invalid_field(field, "must be 6 to 8 digits")
    return value


def acr(value: str, field: str) -> str:
    """A level of authentication, or nothing."""
    if value not in ACR_LEVELS:
        raise invalid_field(field, "must be aal1, aal2 or aal3")
    return value


def _each(
    values: Sequence[str], field: str, most: int, check: Callable[[str, str], str]
) -> tuple[str, ...]:
    if not values:
        return ()
    if len(values) > most:
        raise invalid_field(field, f"must have at most {most} entries")
    return tuple(dict.fromkeys(check(one, f"{field}[{at}]") for at, one in enumerate(values)))


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
    return text(value, field, at_most=MAX_PAGE_TOKEN)
