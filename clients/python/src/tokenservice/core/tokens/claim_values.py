"""Bounds of what claims may hold, and values that tokens have in common.

Tokens by the thousand name the same audience, client, scopes and roles: each such value is kept
once. They are remembered before any signature is checked, so they are bounded.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final

from tokenservice.core.errors import MalformedToken
from tokenservice.core.limits import MAX_SCOPES

MAX_TIME: Final = 253_402_300_799
"""Last second of the year 9999."""
MAX_REVISION: Final = 2**63 - 1
MAX_ROLES: Final = 64
MAX_METHODS: Final = 8

_SCOPES: Final = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")


@lru_cache(maxsize=512)
def shared(value: str) -> str:
    """Give the text that is kept of all equal ones."""
    return value


@lru_cache(maxsize=512)
def shared_words(value: tuple[str, ...]) -> tuple[str, ...]:
    """Give the words that are kept of all equal ones."""
    return value


@lru_cache(maxsize=256)
def scope_set(value: str) -> frozenset[str]:
    """Read scopes: sorted, each once. Raises MalformedToken."""
    if value == "":
        return frozenset()
    if _SCOPES.fullmatch(value) is None:
        raise MalformedToken("scope")
    names = value.split(" ")
    if len(names) > MAX_SCOPES or any(a >= b for a, b in pairwise(names)):
        raise MalformedToken("scope")
    return frozenset(names)
