"""Strict reading of our JSON Web Tokens (RFC 7515, RFC 7519, RFC 8725, RFC 9068).

This runs before any signature is checked, so it must be cheap to refuse, must never fail with
anything but :class:`TokenError`, and accepts one spelling only. It decides nothing: expiry,
audience, scopes and revocation belong to the verdict.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from tokenservice.core.errors import MalformedToken, UnknownToken
from tokenservice.core.facts import Facts
from tokenservice.core.kinds import TokenKind
from tokenservice.core.limits import (
    CLIENT_ID,
    ISSUER,
    MAX_DEVICE_ID_LENGTH,
    MAX_TOKEN_LENGTH,
    THUMBPRINT_LENGTH,
)
from tokenservice.core.tokens.claim_values import (
    MAX_METHODS,
    MAX_REVISION,
    MAX_ROLES,
    MAX_TIME,
    scope_set,
    shared,
    shared_words,
)
from tokenservice.core.tokens.encoding import decode_base64url
from tokenservice.core.tokens.opaque import SESSION_PAYLOAD_LENGTH
from tokenservice.core.tokens.strict_json import parse_object
from tokenservice.core.tokens.usual_claims import read_usual

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenservice.core.trust import TrustKey

ALGORITHMS: Final = frozenset({"EdDSA", "ES256", "RS256", "PS256", "HS256"})
TYPES: Final = {"at+jwt": TokenKind.ACCESS, "rolling+jwt": TokenKind.ROLLING}
TYPE_OF_KIND: Final = {kind: typ for typ, kind in TYPES.items()}

MAX_HEADER_LENGTH: Final = 256

_HEADER_MEMBERS: Final = {"alg", "kid", "typ"}
_KID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SESSION_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TOKEN_ID: Final = re.compile(r"[!-~]{1,128}")
_WORD: Final = re.compile(r"[!-~]{1,64}")
_DEVICE_ID: Final = re.compile(rf"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{{1,{MAX_DEVICE_ID_LENGTH}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedJwt:
    """A well-formed token of our issuer, its signature not yet checked.

    ``exchange`` is the session payload of a rolling token (see
    :mod:`tokenservice.core.tokens.opaque`), None for an access token.
    """

    kid: str
    alg: str
    facts: Facts
    signing_input: bytes
    signature: bytes
    exchange: bytes | None

    def __repr__(self) -> str:
        """Without anything that could be presented: this may be logged."""
        return f"ParsedJwt(kid={self.kid!r}, alg={self.alg!r})"


class SignatureCheck(Protocol):
    """The port behind which signatures are checked; this package has no cryptography of its own."""

    def check(self, parsed: ParsedJwt, keys: Mapping[str, TrustKey]) -> bool:
        """Whether the one of ``keys`` that the token names signed it; never raises."""
        ...


def parse_jwt(token: str, issuer: str) -> ParsedJwt:
    """Read a token of ``issuer``.

    Raises UnknownToken for another issuer's token and MalformedToken for everything that is
    not exactly one of our tokens. Unknown claims are ignored, unknown header members refused.
    """
    if len(token) > MAX_TOKEN_LENGTH or not token.isascii():
        raise MalformedToken("too long or not ASCII")
    parts = token.split(".", 3)
    if len(parts) != 3:
        raise MalformedToken("not three parts")
    header, payload, signature = parts
    if len(header) > MAX_HEADER_LENGTH:
        raise MalformedToken("header too long")
    kid, alg, kind = _read_header(header)
    document = decode_base64url(payload)
    read = read_usual(document, kind, kid, issuer) or _read(document, kind, kid, issuer)
    signature_bytes = decode_base64url(signature)
    if not signature_bytes:
        raise MalformedToken("no signature")
    signing_input = token[: -len(signature) - 1].encode("ascii")
    return ParsedJwt(
        kid=kid,
        alg=alg,
        facts=read[0],
        signing_input=signing_input,
        signature=signature_bytes,
        exchange=read[1],
    )


# All tokens of a key and kind have the same header; a forger can fill no more than 16 KiB.
@lru_cache(maxsize=64)
def _read_header(text: str) -> tuple[str, str, TokenKind]:
    members = parse_object(decode_base64url(text))
    if members.keys() != _HEADER_MEMBERS:
        raise MalformedToken("header members")
    alg, typ = members["alg"], members["typ"]
    if type(alg) is not str or alg not in ALGORITHMS:
        raise MalformedToken("algorithm")
    if type(typ) is not str or typ not in TYPES:
        raise MalformedToken("type")
    return _text(members, "kid", _KID), alg, TYPES[typ]


def _read(document: bytes, kind: TokenKind, kid: str, issuer: str) -> tuple[Facts, bytes | None]:
    claims = parse_object(document)
    if _text(claims, "iss", ISSUER) != issuer:
        raise UnknownToken("foreign issuer")
    exchange = _read_exchange(claims, kind)
    return _read_claims(claims, kind, kid), exchange


def _read_claims(claims: dict[str, object], kind: TokenKind, kid: str) -> Facts:
    issued_at = _number(claims, "iat", MAX_TIME)
    expires_at = _number(claims, "exp", MAX_TIME)
    if expires_at <= issued_at:
        raise MalformedToken("expires before it was issued")
    return Facts(
        kind=kind,
        subject=_text(claims, "sub", ISSUER),
        client_id=shared(_text(claims, "client_id", CLIENT_ID)),
        session_id=_text(claims, "sid", _SESSION_ID),
        device_id=_text(claims, "dev", _DEVICE_ID) if "dev" in claims else "",
        audience=shared(_text(claims, "aud", ISSUER)),
        scopes=_scopes(claims.get("scope")),
        roles=_words(claims, "roles", MAX_ROLES) if "roles" in claims else (),
        issued_at=issued_at,
        expires_at=expires_at,
        auth_time=_number(claims, "auth_time", MAX_TIME),
        acr=shared(_text(claims, "acr", _WORD)),
        amr=_words(claims, "amr", MAX_METHODS),
        token_id=_text(claims, "jti", _TOKEN_ID),
        key_id=kid,
        rev=_number(claims, "rev", MAX_REVISION),
        confirmation=_confirmation(claims) if "cnf" in claims else b"",
    )


def _read_exchange(claims: dict[str, object], kind: TokenKind) -> bytes | None:
    if kind is not TokenKind.ROLLING:
        if "xt" in claims:
            raise MalformedToken("an access token cannot be exchanged")
        return None
    return _bytes(claims.get("xt"), SESSION_PAYLOAD_LENGTH)


def _text(claims: dict[str, object], name: str, pattern: re.Pattern[str]) -> str:
    value = claims.get(name)
    if type(value) is not str or pattern.fullmatch(value) is None:
        raise MalformedToken(name)
    return value


def _number(claims: dict[str, object], name: str, most: int) -> int:
    value = claims.get(name)
    # "type is": a bool is an int to isinstance.
    if type(value) is not int or not 0 <= value <= most:
        raise MalformedToken(name)
    return value


def _words(claims: dict[str, object], name: str, most: int) -> tuple[str, ...]:
    value = claims.get(name)
    if type(value) is not list or len(value) > most:
        raise MalformedToken(name)
    for word in value:
        if type(word) is not str or _WORD.fullmatch(word) is None:
            raise MalformedToken(name)
    if len(set(value)) != len(value):
        raise MalformedToken(name)
    return shared_words(tuple(value))


def _scopes(value: object) -> frozenset[str]:
    if type(value) is not str:
        raise MalformedToken("scope")
    return scope_set(value)


def _confirmation(claims: dict[str, object]) -> bytes:
    value = claims["cnf"]
    # Another confirmation method ignored would be a binding dropped: refuse (RFC 7800 3.1).
    if type(value) is not dict or value.keys() != {"x5t#S256"}:
        raise MalformedToken("cnf")
    return _bytes(value["x5t#S256"], THUMBPRINT_LENGTH)


def _bytes(value: object, length: int) -> bytes:
    if type(value) is not str:
        raise MalformedToken("not text")
    data = decode_base64url(value)
    if len(data) != length:
        raise MalformedToken("wrong length")
    return data
