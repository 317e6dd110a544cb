"""What a presented string looks like, before anything is decoded at length."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from tokenservice.core.errors import MalformedToken
from tokenservice.core.kinds import TokenKind
from tokenservice.core.limits import MAX_TOKEN_LENGTH
from tokenservice.core.tokens.opaque import ACCESS_CODE, PREFIX, SESSION_KINDS, parse_opaque


class Form(Enum):
    """The outer form of a presented string."""

    MALFORMED = auto()
    """Empty, too long, or nothing of ours."""
    JWT = auto()
    """Three parts; :func:`tokenservice.core.tokens.jose.parse_jwt` says more."""
    SESSION = auto()
    """A session token: never good for calls (verdict WRONG_KIND)."""
    OPAQUE_ACCESS = auto()
    """An opaque access token: only the server can check it."""
    CREDENTIAL = auto()
    """A client, registration or pairing secret: never good for calls (verdict WRONG_KIND)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Form and, for a session token, its kind (UNSPECIFIED otherwise)."""

    form: Form
    kind: TokenKind = TokenKind.UNSPECIFIED


MALFORMED: Final = Shape(Form.MALFORMED)
JWT: Final = Shape(Form.JWT)
OPAQUE_ACCESS: Final = Shape(Form.OPAQUE_ACCESS)
CREDENTIAL: Final = Shape(Form.CREDENTIAL)
_BY_CODE: Final = {
    ACCESS_CODE: OPAQUE_ACCESS,
    **{code: Shape(Form.SESSION, kind) for code, kind in SESSION_KINDS.items()},
}


def shape_of(token: str) -> Shape:
    """Classify a presented string; never raises.

    Only the checksum decides whether something of ours is a session token or a credential, so
    a local validator and the server say WRONG_KIND for exactly the same strings.
    """
    if not 0 < len(token) <= MAX_TOKEN_LENGTH:
        return MALFORMED
    if not token.startswith(PREFIX):
        return JWT if token.count(".") == 2 and token.isascii() else MALFORMED
    try:
        return _BY_CODE.get(parse_opaque(token).code, CREDENTIAL)
    except MalformedToken:
        return MALFORMED
