"""JSON of the one shape that tokens need: a small object, strictly read (RFC 8259, RFC 7493)."""

from __future__ import annotations

import json
import re
from typing import Final, NoReturn

from tokenservice.core.errors import MalformedToken

MAX_BRACKETS: Final = 64
"""Objects and arrays in one document; bounds the nesting before the parser recurses."""

MAX_INTEGER_LENGTH: Final = 20
"""Characters of an integer, its sign included: what 64 bits hold, in any language."""

# What stands between quotes opens nothing, whatever it says; one without an end is no JSON.
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedToken("duplicate member name")
    return members


def _no_constant(_: str) -> NoReturn:
    raise MalformedToken("NaN or Infinity")


def _finite(text: str) -> float:
    number = float(text)
    if number - number != 0:
        raise MalformedToken("number out of range")
    return number


def _integer(text: str) -> int:
    if len(text) > MAX_INTEGER_LENGTH:
        raise MalformedToken("integer too long")
    return int(text)


# Built once: json.loads with hooks would build a decoder on every call.
_decoder: Final = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_no_constant,
    parse_float=_finite,
    parse_int=_integer,
)


def _brackets(data: bytes) -> int:
    return data.count(b"{") + data.count(b"[")


def parse_object(data: bytes) -> dict[str, object]:
    """Read one JSON object; raises MalformedToken.

    Refused: anything but strict UTF-8 (also a byte order mark), duplicate member names at any
    depth, NaN and Infinity, integers of more than 20 characters, numbers that are not finite,
    blanks or data around the object.
    """
    if _brackets(data) > MAX_BRACKETS and _brackets(_STRING.sub(b"", data)) > MAX_BRACKETS:
        raise MalformedToken("nested too deeply")
    try:
        text = data.decode("utf-8")
        value, end = _decoder.raw_decode(text)
    except MalformedToken:
        raise
    except ValueError:
        # Invalid UTF-8 or invalid JSON.
        # "from None": the decoder's exception holds the whole document.
        raise MalformedToken("not JSON") from None
    if end != len(text) or type(value) is not dict:
        raise MalformedToken("not one JSON object")
    return value
