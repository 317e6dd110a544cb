"""Pure decisions of the token service: standard library only, no I/O, no wall clock.

Tokens are read strictly (:func:`parse_jwt`, :func:`parse_opaque`, :func:`shape_of`), what the
server revoked is held in a :class:`TrustState`, and :func:`verdict` judges. The server and the
gateways' local validators run this same code.
"""

from tokenservice.core.challenge import challenge
from tokenservice.core.clock import AnchoredClock
from tokenservice.core.errors import (
    MalformedToken,
    TokenError,
    TrustGap,
    UnknownKey,
    UnknownToken,
)
from tokenservice.core.facts import (
    Facts,
    Requirement,
    acr_level,
    acr_name,
    acr_satisfies,
    amr_mask,
    amr_names,
)
from tokenservice.core.kinds import (
    AccessFormat,
    KeyState,
    Platform,
    RevocationReason,
    TokenKind,
    TokenScheme,
    TrustEffect,
    TrustEntryKind,
    Verdict,
)
from tokenservice.core.limits import MAX_TOKEN_LENGTH
from tokenservice.core.tokens.classify import Form, Shape, shape_of
from tokenservice.core.tokens.jose import ParsedJwt, SignatureCheck, parse_jwt
from tokenservice.core.tokens.opaque import (
    Opaque,
    OpaqueAccess,
    SessionRef,
    access_mac_valid,
    format_opaque,
    parse_opaque,
    seal_access,
    seal_session,
    session_mac_valid,
    session_payload,
    unpack_access,
    unpack_session,
)
from tokenservice.core.trust import TrustEntry, TrustKey, TrustSnapshot, TrustState
from tokenservice.core.verdict import verdict

__all__ = [
    "MAX_TOKEN_LENGTH",
    "AccessFormat",
    "AnchoredClock",
    "Facts",
    "Form",
    "KeyState",
    "MalformedToken",
    "Opaque",
    "OpaqueAccess",
    "ParsedJwt",
    "Platform",
    "Requirement",
    "RevocationReason",
    "SessionRef",
    "Shape",
    "SignatureCheck",
    "TokenError",
    "TokenKind",
    "TokenScheme",
    "TrustEffect",
    "TrustEntry",
    "TrustEntryKind",
    "TrustGap",
    "TrustKey",
    "TrustSnapshot",
    "TrustState",
    "UnknownKey",
    "UnknownToken",
    "Verdict",
    "access_mac_valid",
    "acr_level",
    "acr_name",
    "acr_satisfies",
    "amr_mask",
    "amr_names",
    "challenge",
    "format_opaque",
    "parse_jwt",
    "parse_opaque",
    "seal_access",
    "seal_session",
    "session_mac_valid",
    "session_payload",
    "shape_of",
    "unpack_access",
    "unpack_session",
    "verdict",
]
