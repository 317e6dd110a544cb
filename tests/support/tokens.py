"""Tokens, facts and trust entries for tests. All times are Unix seconds, all keys made here."""

import base64
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tokenservice.core import (
    Facts,
    KeyState,
    RevocationReason,
    TokenKind,
    TrustEffect,
    TrustEntry,
    TrustEntryKind,
    TrustKey,
    TrustState,
)

ISSUER = "https://tokens.example"
KID = "0123456789abcdef"
NOW = 1_800_000_000
USER = "3f0c3e0a-9d0b-4b7e-8a39-0d6e1f0a1b2c"
SESSION = "7d1d9a52-06f5-4d4e-9f43-0f7b6f0f3a11"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def header(**changes: Any) -> dict[str, Any]:
    return _changed({"alg": "EdDSA", "kid": KID, "typ": "at+jwt"}, changes)


def claims(**changes: Any) -> dict[str, Any]:
    """Claims of an access token; None removes one."""
    base = {
        "iss": ISSUER,
        "sub": USER,
        "aud": "orders",
        "exp": NOW + 300,
        "iat": NOW,
        "jti": "R2FuWk4tT0xhQ1dJMWZ2Qg",
        "client_id": "web-shop",
        "sid": SESSION,
        "scope": "orders.read orders.write",
        "auth_time": NOW - 60,
        "acr": "aal1",
        "amr": ["pwd"],
        "rev": 10,
    }
    return _changed(base, changes)


def rolling_claims(**changes: Any) -> dict[str, Any]:
    return claims(**{"xt": b64(bytes(range(44))), **changes})


def _changed(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = {**base, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def jwt(
    head: dict[str, Any] | str | bytes,
    body: dict[str, Any] | str | bytes,
    signature: bytes = b"\x01" * 64,
) -> str:
    return f"{b64(_json(head))}.{b64(_json(body))}.{b64(signature)}"


def sign(key: Ed25519PrivateKey, head: dict[str, Any], body: dict[str, Any]) -> str:
    unsigned = jwt(head, body, b"").rstrip(".")
    return f"{unsigned}.{b64(key.sign(unsigned.encode('ascii')))}"


def _json(value: dict[str, Any] | str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8")


def der(key: Any) -> bytes:
    """SubjectPublicKeyInfo of a public key object."""
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert isinstance(encoded, bytes)
    return encoded


def facts(**changes: Any) -> Facts:
    base = Facts(
        kind=TokenKind.ACCESS,
        subject=USER,
        client_id="web-shop",
        session_id=SESSION,
        device_id="browser-1",
        audience="orders",
        scopes=frozenset({"orders.read", "orders.write"}),
        roles=(),
        issued_at=NOW,
        expires_at=NOW + 300,
        auth_time=NOW - 60,
        acr="aal1",
        amr=("pwd",),
        token_id="token-1",
        key_id=KID,
        rev=10,
    )
    return replace(base, **changes)


def key(kid: str = KID, state: KeyState = KeyState.ACTIVE, **changes: Any) -> TrustKey:
    return replace(TrustKey(kid, "EdDSA", b"", server_only=False, state=state), **changes)


def entry(
    revision: int,
    kind: TrustEntryKind = TrustEntryKind.SUBJECT,
    target: str = USER,
    *,
    device: str = "",
    effect: TrustEffect = TrustEffect.REVOKE,
    keep_until: float = NOW + 1000.0,
) -> TrustEntry:
    reason = RevocationReason.ADMINISTRATIVE
    return TrustEntry(
        revision=revision,
        kind=kind,
        id=target,
        device_id=device,
        effect=effect,
        keep_until=keep_until,
        reason=reason,
    )


def trust(
    entries: Iterable[TrustEntry] = (),
    *,
    revision: int = 100,
    read_time: float = NOW,
    keys: Iterable[TrustKey] | None = None,
) -> TrustState:
    state = TrustState()
    held = [key()] if keys is None else keys
    state.apply_snapshot("epoch-1", ISSUER, revision, read_time, held, entries)
    return state
