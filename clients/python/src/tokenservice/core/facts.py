"""What is known about a presented token, and what a route demands of it.

Facts never change once a token is issued, so they may be cached by the token's hash; whether
the token is good is decided on every request by :func:`tokenservice.core.verdict.verdict`.
All times are whole Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tokenservice.core.kinds import TokenKind

ACR_LEVELS: Final = ("", "aal1", "aal2", "aal3")
"""Authentication levels by rank; the index is the number in an opaque access token."""

AMR_METHODS: Final = ("pwd", "otp", "app", "xdev")
"""Authentication methods; the index is the bit in an opaque access token's mask."""

_RANKS: Final = {name: rank for rank, name in enumerate(ACR_LEVELS) if name}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The identity facts that an authentic access or rolling token carries."""

    kind: TokenKind
    subject: str
    client_id: str
    session_id: str
    device_id: str
    audience: str
    scopes: frozenset[str]
    roles: tuple[str, ...]
    issued_at: int
    expires_at: int
    auth_time: int
    acr: str
    amr: tuple[str, ...]
    token_id: str
    key_id: str
    rev: int
    confirmation: bytes = b""


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a route demands.

    ``max_auth_age`` is in seconds, None for any age; ``acr`` is "" for any level;
    ``confirmation`` is the SHA-256 thumbprint of the certificate that was presented, b"" for
    none.
    """

    audience: str
    scopes: frozenset[str] = frozenset()
    max_auth_age: float | None = None
    acr: str = ""
    confirmation: bytes = b""


def acr_satisfies(actual: str, required: str) -> bool:
    """Whether ``actual`` reaches ``required``: known levels by rank, others by equality."""
    rank = _RANKS.get(required)
    if rank is None:
        return actual == required
    return _RANKS.get(actual, 0) >= rank


def acr_level(name: str) -> int:
    """Give the number of an authentication level, 0 for ""; ValueError for an unknown one."""
    return ACR_LEVELS.index(name)


def acr_name(level: int) -> str:
    """Give the level with this number; "" (which satisfies nothing) for an unknown one."""
    return ACR_LEVELS[level] if 0 <= level < len(ACR_LEVELS) else ""


def amr_mask(methods: tuple[str, ...]) -> int:
    """Give the bit mask of authentication methods; ValueError for an unknown one."""
    mask = 0
    for method in methods:
        mask |= 1 << AMR_METHODS.index(method)
    return mask


def amr_names(mask: int) -> tuple[str, ...]:
    """Give the authentication methods of a bit mask; unknown bits are left out."""
    return tuple(name for bit, name in enumerate(AMR_METHODS) if mask >> bit & 1)
