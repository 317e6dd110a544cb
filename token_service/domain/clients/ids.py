"""Ids of new clients: recognisable, and never to be guessed or squatted."""

import re
import unicodedata

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


def _spell(random: bytes) -> str:
    """Five bits a character, eight characters for five bytes."""
    number = int.from_bytes(random, "big")
    digits = len(random) * 8 // 5
    return "".join(_RANDOM_ALPHABET[number >> 5 * place & 31] for place in range(digits))
