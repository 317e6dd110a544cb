"""What tokens are put together from. Keys are derived from texts: they are plainly no secrets."""

import base64
import json
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER: Final = "https://tokens.example"
NOW: Final = 1_800_000_000
USER: Final = "3f0c3e0a-9d0b-4b7e-8a39-0d6e1f0a1b2c"
SESSION: Final = "7d1d9a52-06f5-4d4e-9f43-0f7b6f0f3a11"
THUMBPRINT: Final = bytes(range(32))
EXCHANGE: Final = bytes(range(100, 144))

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def seed(purpose: str) -> bytes:
    """32 bytes that anybody can compute."""
    return sha256(f"token service test vectors, no secret: {purpose}".encode()).digest()


ED25519: Final = Ed25519PrivateKey.from_private_bytes(seed("ed25519"))
P256: Final = derive_private_key(int.from_bytes(seed("p-256"), "big") % P256_ORDER, SECP256R1())


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def der(key: Any) -> bytes:
    """SubjectPublicKeyInfo of a public key object."""
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert isinstance(encoded, bytes)
    return encoded


def standard(data: bytes) -> str:
    """Base64 with padding, as in the JSON of protobuf."""
    return base64.b64encode(data).decode("ascii")


def header(**changes: Any) -> dict[str, Any]:
    """A header; None removes a member."""
    return _changed({"alg": "EdDSA", "kid": "ed-1", "typ": "at+jwt"}, changes)


def claims(**changes: Any) -> dict[str, Any]:
    """Claims of an access token, in the order in which the server writes them; None removes one."""
    usual = {
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
    return _changed(usual, changes)


def facts(**changes: Any) -> dict[str, Any]:
    """What the token with those claims says."""
    usual = {
        "kind": "ACCESS",
        "subject": USER,
        "client_id": "web-shop",
        "session_id": SESSION,
        "device_id": "",
        "audience": "orders",
        "scopes": ["orders.read", "orders.write"],
        "roles": [],
        "issued_at": NOW,
        "expires_at": NOW + 300,
        "auth_time": NOW - 60,
        "acr": "aal1",
        "amr": ["pwd"],
        "token_id": "R2FuWk4tT0xhQ1dJMWZ2Qg",
        "key_id": "ed-1",
        "rev": "10",
        "confirmation": "",
    }
    return {**usual, **changes}


def text(value: dict[str, Any] | str) -> str:
    """JSON as the server writes it; a text stays as it is."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def unsigned(head: dict[str, Any] | str, body: dict[str, Any] | str | bytes) -> str:
    """The first two parts of a token."""
    data = body if isinstance(body, bytes) else text(body).encode()
    return f"{b64(text(head).encode())}.{b64(data)}"


def jwt(
    head: dict[str, Any] | str, body: dict[str, Any] | str | bytes, signature: bytes = bytes(64)
) -> str:
    """A token with a signature that nobody made."""
    return f"{unsigned(head, body)}.{b64(signature)}"


def signed(head: dict[str, Any], body: dict[str, Any]) -> str:
    """A token that the Ed25519 test key signed."""
    first = unsigned(head, body)
    return f"{first}.{b64(ED25519.sign(first.encode()))}"


def key(kid: str = "ed-1", **changes: Any) -> dict[str, Any]:
    """A published key."""
    usual = {
        "kid": kid,
        "alg": "EdDSA",
        "public_key": standard(der(ED25519.public_key())),
        "server_only": False,
        "state": "ACTIVE",
    }
    return {**usual, **changes}


def entry(revision: int, kind: str, target: str, **changes: Any) -> dict[str, Any]:
    """An entry of the trust log."""
    usual = {
        "revision": str(revision),
        "kind": kind,
        "id": target,
        "device_id": "",
        "effect": "REVOKE",
        "keep_until": NOW + 1000,
    }
    return {**usual, **changes}


def stamp(seconds: float) -> str:
    """A timestamp in the JSON of protobuf."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def requirement(**changes: Any) -> dict[str, Any]:
    """What a route demands."""
    usual: dict[str, Any] = {
        "audience": "orders",
        "scopes": [],
        "max_auth_age": None,
        "acr": "",
        "confirmation": "",
    }
    return {**usual, **changes}


def _changed(usual: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = {**usual, **changes}
    return {name: value for name, value in merged.items() if value is not None}
