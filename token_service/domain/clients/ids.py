"""Ids of new clients: recognisable, and never to be guessed or squatted."""

import re
import unicodedata
from uuid import UUID

from token_service.domain.audit import UNKNOWN, Actor
from token_service.domain.clients.policy_rules import is_client_id
from token_service.domain.errors import invalid_field
from tokenservice.core.limits import CLIENT_ID_PATTERN

RANDOM_BYTES = 5
_MAX_NAME = 40
_RANDOM_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def new_client_id(name: str, random: bytes) -> str:
    """An id for a client called `name`: what ASCII letters and digits it has, and `random`.

    The random part makes every id new, so that none is a look-alike registered on purpose, nor
    the id of a user. Raises ValueError unless there are RANDOM_BYTES random bytes.
    """
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"{RANDOM_BYTES} random bytes are needed")
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_name.lower()).strip("-")[:_MAX_NAME].strip("-")
    return f"{slug or 'client'}-{_spell(random)}"


RESERVED = frozenset({*Actor, UNKNOWN})
"""What stands in the audit log where the id of a client can stand, and is none."""


def chosen_client_id(text: str) -> str:
    """An id that is chosen and not drawn, by somebody who may do so.

    It stands where a user's id can stand (the subject of a session) and where the service names
    itself (the actor or target of an audit row), and must be neither. Raises FIELD_INVALID.
    """
    if not is_client_id(text):
        raise invalid_field("client_id", f"must match {CLIENT_ID_PATTERN}")
    if text in RESERVED or _is_uuid(text):
        raise invalid_field("client_id", "must not be a UUID or a name of the service's own")
    return text


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _spell(random: bytes) -> str:
    """Five bits a character, eight characters for five bytes."""
    number = int.from_bytes(random, "big")
    digits = len(random) * 8 // 5
    return "".join(_RANDOM_ALPHABET[number >> 5 * place & 31] for place in range(digits))
