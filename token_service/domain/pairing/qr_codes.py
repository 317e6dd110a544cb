"""The codes that a pairing shows: their spelling and their times.

A code is 18 characters of Crockford's base 32: two that say where its pairing is kept (they are of
the pairing's id, so all its codes begin alike) and sixteen, 80 bits, that nobody can guess.
"""

from datetime import datetime, timedelta
from uuid import UUID

from token_service.domain.pairing.decision import UNSCANNED_LIFE

CODE_LIFE = timedelta(minutes=2)
CODE_EVERY = timedelta(minutes=1)
CODES = UNSCANNED_LIFE // CODE_EVERY
"""How many codes a pairing shows if it is never scanned."""

SECRET_BYTES = 10

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD = str.maketrans("OIL", "011", "- ")
_TAG = 2
_GROUP = 6
_LENGTH = 18


def spell_code(pairing_id: UUID, secret: bytes) -> str:
    """The canonical spelling of a code. `secret` has SECRET_BYTES bytes."""
    digits = int.from_bytes(secret, "big")
    characters = [_ALPHABET[digits >> shift & 31] for shift in range(SECRET_BYTES * 8 - 5, -1, -5)]
    return tag_of(pairing_id) + "".join(characters)


def show_code(code: str) -> str:
    """A canonical code as people read it, in groups."""
    return "-".join(code[at : at + _GROUP] for at in range(0, _LENGTH, _GROUP))


def read_code(text: str) -> str | None:
    """The canonical spelling of what was typed or scanned; None for what is no code."""
    code = text.upper().translate(_MISREAD)
    fits = len(code) == _LENGTH and all(character in _ALPHABET for character in code)
    return code if fits else None


def tag_of(pairing_id: UUID) -> str:
    """What all codes of a pairing begin with, and its keys in Redis share."""
    bits = int.from_bytes(pairing_id.bytes[:2], "big") >> 6
    return _ALPHABET[bits >> 5] + _ALPHABET[bits & 31]


def tag_of_code(code: str) -> str:
    """The same, of a canonical code."""
    return code[:_TAG]


def current_number(started_at: datetime, now: datetime) -> int:
    """Which code is shown at `now`, from 0."""
    return min(max(0, (now - started_at) // CODE_EVERY), CODES - 1)


def shown_from(started_at: datetime, number: int) -> datetime:
    """When that code is first shown."""
    return started_at + number * CODE_EVERY


def dies_at(started_at: datetime, number: int) -> datetime:
    """When that code's two minutes are over; the pairing may end before."""
    return shown_from(started_at, number) + CODE_LIFE


def is_alive(started_at: datetime, number: int, now: datetime) -> bool:
    """Whether that code can be scanned at `now`."""
    ends_at = min(dies_at(started_at, number), started_at + UNSCANNED_LIFE)
    return shown_from(started_at, number) <= now < ends_at
