"""What a gateway answers its own caller: status and ``WWW-Authenticate`` (RFC 6750, RFC 9470).

Unknown, expired and revoked tokens get one and the same text: whoever presents a token learns
from it that the token is no good, not what became of it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Final

from tokenservice.core.kinds import Verdict

if TYPE_CHECKING:
    from tokenservice.core.facts import Requirement

INVALID_TOKEN: Final = (401, 'Bearer error="invalid_token"')
"""For every token that is not good at all."""

_OK: Final = (200, "")
_MAX_AGE_LIMIT: Final = 2**31 - 1
# RFC 6749 section 3.3: a scope has neither quote nor backslash, so it can be quoted as it is.
_WORD: Final = re.compile(r"[!#-\[\]-~]+")


def challenge(verdict: Verdict, requirement: Requirement) -> tuple[int, str]:
    """HTTP status and ``WWW-Authenticate`` value ("" when ACTIVE) for a verdict.

    The value is safe to send as a header: what cannot be quoted is left out of it.
    """
    if verdict == Verdict.ACTIVE:
        return _OK
    if verdict == Verdict.INSUFFICIENT_SCOPE:
        return _insufficient_scope(requirement.scopes)
    if verdict == Verdict.STEP_UP_REQUIRED:
        return _step_up(requirement.max_auth_age, requirement.acr)
    return INVALID_TOKEN


@lru_cache(maxsize=256)
def _insufficient_scope(scopes: frozenset[str]) -> tuple[int, str]:
    text = 'Bearer error="insufficient_scope"'
    if scopes and all(map(_WORD.fullmatch, scopes)):
        text += f', scope="{" ".join(sorted(scopes))}"'
    return 403, text


@lru_cache(maxsize=256)
def _step_up(max_auth_age: float | None, acr: str) -> tuple[int, str]:
    text = 'Bearer error="insufficient_user_authentication"'
    if max_auth_age is not None and isfinite(max_auth_age):
        text += f', max_age="{max(0, min(int(max_auth_age), _MAX_AGE_LIMIT))}"'
    if _WORD.fullmatch(acr):
        text += f', acr_values="{acr}"'
    return 401, text
