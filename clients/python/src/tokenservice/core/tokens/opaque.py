"""Opaque strings: ``tsk_<code>_<base64url(payload || crc32(code || payload))>``.

The prefix lets secret scanners recognise them, the checksum refuses typing errors and random
text without a store, and every payload length plus four is a multiple of three, so each string
has one spelling. Payloads of session and opaque access tokens carry a MAC of their own; client,
registration and pairing secrets are plain randomness. Integers are big endian, times Unix seconds.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from typing import Final
from uuid import UUID
from zlib import crc32

from tokenservice.core.errors import MalformedToken
from tokenservice.core.kinds import TokenKind
from tokenservice.core.tokens.encoding import decode_base64url, encode_base64url

WEB_CODE: Final = "web"
MOBILE_CODE: Final = "mob"
API_CODE: Final = "api"
ACCESS_CODE: Final = "acc"
CLIENT_SECRET_CODE: Final = "cs"  # noqa: S105 - a prefix
REGISTRATION_SECRET_CODE: Final = "rs"  # noqa: S105 - a prefix
WATCH_SECRET_CODE: Final = "pw"  # noqa: S105 - a prefix
SCAN_SECRET_CODE: Final = "ps"  # noqa: S105 - a prefix
ROLLING_CODE: Final = "rol"
"""Goes into the MAC of a rolling token's ``xt`` only; no opaque string has this code."""

PREFIX: Final = "tsk_"
SESSION_PAYLOAD_LENGTH: Final = 44
ACCESS_PAYLOAD_LENGTH: Final = 71
SECRET_PAYLOAD_LENGTH: Final = 32

PAYLOAD_LENGTHS: Final = {
    WEB_CODE: SESSION_PAYLOAD_LENGTH,
    MOBILE_CODE: SESSION_PAYLOAD_LENGTH,
    API_CODE: SESSION_PAYLOAD_LENGTH,
    ACCESS_CODE: ACCESS_PAYLOAD_LENGTH,
    CLIENT_SECRET_CODE: SECRET_PAYLOAD_LENGTH,
    REGISTRATION_SECRET_CODE: SECRET_PAYLOAD_LENGTH,
    WATCH_SECRET_CODE: SECRET_PAYLOAD_LENGTH,
    SCAN_SECRET_CODE: SECRET_PAYLOAD_LENGTH,
}

SESSION_KINDS: Final = {
    WEB_CODE: TokenKind.WEB_SESSION,
    MOBILE_CODE: TokenKind.MOBILE_SESSION,
    API_CODE: TokenKind.API_SESSION,
}
SESSION_CODES: Final = {kind: code for code, kind in SESSION_KINDS.items()}

_CHECKSUM_LENGTH: Final = 4
_TEXT_LENGTHS: Final = {
    code: (length + _CHECKSUM_LENGTH) // 3 * 4 for code, length in PAYLOAD_LENGTHS.items()
}
_SESSION: Final = struct.Struct(">4s16sI")
_SESSION_MAC_LENGTH: Final = 20
_ACCESS: Final = struct.Struct(">4s16sIBQIIQIBB")
_ACCESS_MAC_LENGTH: Final = 16


@dataclass(frozen=True, slots=True)
class Opaque:
    """A well-formed opaque string whose checksum is right. Says nothing of authenticity."""

    code: str
    payload: bytes

    def __repr__(self) -> str:
        """Without the payload: this may be logged."""
        return f"Opaque(code={self.code!r})"


@dataclass(frozen=True, slots=True)
class SessionRef:
    """What a session token says: which session, and which of its generations."""

    mint_key_id: str
    lookup_id: bytes
    generation: int
    mac: bytes

    def __repr__(self) -> str:
        """Without the lookup id and the MAC: this may be logged."""
        return f"SessionRef(mint_key_id={self.mint_key_id!r}, generation={self.generation})"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpaqueAccess:
    """What an opaque access token says.

    ``audience_index`` and the bits of ``scope_mask`` point into the lists of the session row;
    ``acr`` and ``amr`` are the numbers of :mod:`tokenservice.core.facts`.
    """

    key_id: str
    session_id: str
    generation: int
    audience_index: int
    scope_mask: int
    issued_at: int
    expires_at: int
    rev: int
    auth_time: int
    acr: int
    amr: int

    @property
    def token_id(self) -> str:
        """Names this token in the trust log: a session mints one per generation and audience."""
        return f"{self.session_id}.{self.generation}.{self.audience_index}"


def format_opaque(code: str, payload: bytes) -> str:
    """Spell a payload. Raises ValueError for an unknown code or a wrong payload length."""
    if PAYLOAD_LENGTHS.get(code) != len(payload):
        raise ValueError("unknown code or wrong payload length")
    checked = payload + crc32(code.encode("ascii") + payload).to_bytes(_CHECKSUM_LENGTH, "big")
    return f"{PREFIX}{code}_{encode_base64url(checked)}"


def parse_opaque(token: str) -> Opaque:
    """Read an opaque string; raises MalformedToken unless it is exactly one of ours."""
    parts = token.split("_", 2)
    if len(parts) != 3 or parts[0] != "tsk":
        raise MalformedToken("not an opaque token")
    code, text = parts[1], parts[2]
    if _TEXT_LENGTHS.get(code) != len(text):
        raise MalformedToken("unknown kind or wrong length")
    checked = decode_base64url(text)
    payload = checked[:-_CHECKSUM_LENGTH]
    checksum = crc32(code.encode("ascii") + payload).to_bytes(_CHECKSUM_LENGTH, "big")
    if checksum != checked[-_CHECKSUM_LENGTH:]:
        raise MalformedToken("wrong checksum")
    return Opaque(code, payload)


def session_payload(code: str, key_id: str, key: bytes, lookup_id: bytes, generation: int) -> bytes:
    """Make the 44 bytes that authenticate one generation of a session.

    ``code`` is that of the session's kind, or ROLLING_CODE for the ``xt`` of a rolling token;
    ``key_id`` is 8 hexadecimal digits. Raises ValueError for anything out of range.
    """
    if code not in SESSION_KINDS and code != ROLLING_CODE:
        raise ValueError("not a session code")
    if len(lookup_id) != 16:
        raise ValueError("a lookup id has 16 bytes")
    try:
        body = _SESSION.pack(_key_id_bytes(key_id), lookup_id, generation)
    except struct.error as error:
        raise ValueError("generation out of range") from error
    return body + _mac(code, body, key, _SESSION_MAC_LENGTH)


def seal_session(code: str, key_id: str, key: bytes, lookup_id: bytes, generation: int) -> str:
    """Make the session token of one generation; the same input always gives the same token."""
    return format_opaque(code, session_payload(code, key_id, key, lookup_id, generation))


def unpack_session(payload: bytes) -> SessionRef:
    """Read a session payload, without checking its MAC. Raises MalformedToken."""
    if len(payload) != SESSION_PAYLOAD_LENGTH:
        raise MalformedToken("wrong length")
    key_id, lookup_id, generation = _SESSION.unpack_from(payload)
    return SessionRef(key_id.hex(), lookup_id, generation, payload[_SESSION.size :])


def session_mac_valid(code: str, payload: bytes, key: bytes) -> bool:
    """Whether the payload was sealed for ``code`` with ``key``; in constant time."""
    return _mac_valid(code, payload, key, _SESSION.size, _SESSION_MAC_LENGTH)


def seal_access(access: OpaqueAccess, key: bytes) -> str:
    """Make the opaque access token; raises ValueError when a field is out of range."""
    try:
        body = _ACCESS.pack(
            _key_id_bytes(access.key_id),
            UUID(access.session_id).bytes,
            access.generation,
            access.audience_index,
            access.scope_mask,
            access.issued_at,
            access.expires_at,
            access.rev,
            access.auth_time,
            access.acr,
            access.amr,
        )
    except struct.error as error:
        raise ValueError("a field of the access token is out of range") from error
    return format_opaque(ACCESS_CODE, body + _mac(ACCESS_CODE, body, key, _ACCESS_MAC_LENGTH))


def unpack_access(payload: bytes) -> OpaqueAccess:
    """Read an opaque access payload, without checking its MAC. Raises MalformedToken."""
    if len(payload) != ACCESS_PAYLOAD_LENGTH:
        raise MalformedToken("wrong length")
    key_id, session_id, *rest = _ACCESS.unpack_from(payload)
    generation, audience_index, scope_mask, issued_at, expires_at, rev, auth_time, acr, amr = rest
    return OpaqueAccess(
        key_id=key_id.hex(),
        session_id=str(UUID(bytes=session_id)),
        generation=generation,
        audience_index=audience_index,
        scope_mask=scope_mask,
        issued_at=issued_at,
        expires_at=expires_at,
        rev=rev,
        auth_time=auth_time,
        acr=acr,
        amr=amr,
    )


def access_mac_valid(payload: bytes, key: bytes) -> bool:
    """Whether an opaque access payload was sealed with ``key``; in constant time."""
    return _mac_valid(ACCESS_CODE, payload, key, _ACCESS.size, _ACCESS_MAC_LENGTH)


def _key_id_bytes(key_id: str) -> bytes:
    raw = bytes.fromhex(key_id)
    if len(raw) != 4 or raw.hex() != key_id:
        raise ValueError("a key id has 8 lower-case hexadecimal digits")
    return raw


def _mac(code: str, body: bytes, key: bytes, length: int) -> bytes:
    if not key:
        raise ValueError("the key is empty")
    return hmac.digest(key, code.encode("ascii") + body, "sha256")[:length]


def _mac_valid(code: str, payload: bytes, key: bytes, size: int, length: int) -> bool:
    expected = _mac(code, payload[:size], key, length)
    return len(payload) == size + length and hmac.compare_digest(expected, payload[size:])
