"""What a token says to its bearer, without asking anybody and without what makes it usable."""

from collections.abc import Mapping
from datetime import UTC, datetime

from token_service.cli.values import ABSENT, time_text
from tokenservice.core import (
    MAX_TOKEN_LENGTH,
    Form,
    MalformedToken,
    TokenError,
    acr_name,
    amr_names,
    parse_jwt,
    parse_opaque,
    shape_of,
    unpack_access,
    unpack_session,
)
from tokenservice.core.tokens.encoding import decode_base64url
from tokenservice.core.tokens.strict_json import parse_object

REDACTED = "(redacted)"

_TIMES = frozenset({"iat", "exp", "nbf", "auth_time", "issued_at", "expires_at"})
_SECRET_CLAIMS = frozenset({"xt"})
_KIND_OF_CODE = {
    "web": "web_session",
    "mob": "mobile_session",
    "api": "api_session",
    "acc": "access",
    "cs": "client secret",
    "rs": "registration secret",
    "pw": "pairing secret of who shows the code",
    "ps": "pairing secret of who scanned it",
}


def describe(token: str) -> dict[str, object]:
    """Take a token apart; times stay numbers. Raises MalformedToken for what is no token.

    Nothing is verified: whoever made the token could have written anything into it.
    """
    if not 0 < len(token) <= MAX_TOKEN_LENGTH or not token.isascii():
        raise MalformedToken("empty, too long or not ASCII")
    if shape_of(token).form is Form.JWT:
        return _describe_jwt(token)
    opaque = parse_opaque(token)
    described: dict[str, object] = {"form": "opaque", "kind": _KIND_OF_CODE[opaque.code]}
    if opaque.code in ("web", "mob", "api"):
        reference = unpack_session(opaque.payload)
        described |= {
            "mint_key_id": reference.mint_key_id,
            "lookup_id": REDACTED,
            "generation": reference.generation,
            "mac": REDACTED,
        }
    elif opaque.code == "acc":
        access = unpack_access(opaque.payload)
        described |= {
            "key_id": access.key_id,
            "session_id": access.session_id,
            "generation": access.generation,
            "audience_index": access.audience_index,
            "scope_mask": f"{access.scope_mask:#x}",
            "issued_at": access.issued_at,
            "expires_at": access.expires_at,
            "auth_time": access.auth_time,
            "acr": acr_name(access.acr),
            "amr": list(amr_names(access.amr)),
            "rev": access.rev,
            "mac": REDACTED,
        }
    else:
        described["secret"] = REDACTED
    return described


def owner_of(token: str) -> tuple[str, str]:
    """Return (kind, client id) as far as the token tells; empty texts where it does not."""
    try:
        described = describe(token)
    except MalformedToken:
        return "", ""
    claims = described.get("claims")
    client_id = claims.get("client_id") if isinstance(claims, Mapping) else ""
    return str(described["kind"]), client_id if isinstance(client_id, str) else ""


def audience_of(token: str) -> str:
    """Return the audience of a JWT, as far as the token tells; else empty text."""
    try:
        claims = describe(token).get("claims")
    except MalformedToken:
        return ""
    audience = claims.get("aud") if isinstance(claims, Mapping) else ""
    return audience if isinstance(audience, str) else ""


def pairs_of(described: Mapping[str, object], now: datetime) -> list[tuple[str, str]]:
    """Return (label, text) for people; times as dates, with the time that is left."""
    pairs: list[tuple[str, str]] = []
    for name, value in described.items():
        if isinstance(value, Mapping):
            inner = pairs_of(value, now)
            pairs += [(f"{name}.{label}", text) for label, text in inner]
        else:
            pairs.append((name, _text(name, value, now)))
    return pairs


def _describe_jwt(token: str) -> dict[str, object]:
    header_text, payload_text, _ = token.split(".")
    header = parse_object(decode_base64url(header_text))
    claims = parse_object(decode_base64url(payload_text))
    kind = {"at+jwt": "access", "rolling+jwt": "rolling"}.get(str(header.get("typ")), "unknown")
    shown = {name: REDACTED if name in _SECRET_CLAIMS else v for name, v in claims.items()}
    return {
        "form": "jwt",
        "kind": kind,
        "well_formed": _well_formed(token, claims),
        "header": header,
        "claims": shown,
        "signature": f"{REDACTED}, not checked",
    }


def _well_formed(token: str, claims: Mapping[str, object]) -> bool:
    """Whether it is exactly as this service writes its tokens, its issuer taken at its word."""
    try:
        parse_jwt(token, str(claims.get("iss")))
    except TokenError:
        return False
    return True


def _text(name: str, value: object, now: datetime) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in _TIMES and isinstance(value, int):
        return _moment(value, now)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or ABSENT
    return str(value) if value != "" else ABSENT


def _moment(seconds: int, now: datetime) -> str:
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return str(seconds)
    distance = round((moment - now).total_seconds())
    relative = f"in {distance} s" if distance > 0 else f"{-distance} s ago"
    return f"{time_text(moment)} ({relative})"
