"""Tokens as the server makes them, signed with a key made here.

The layout of the claims is the server's; a test of the service keeps the two together.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tokenservice.core import KeyState, TrustKey
from tokenservice.core.tokens.encoding import encode_base64url
from tokenservice.core.tokens.jose import TYPE_OF_KIND

if TYPE_CHECKING:
    from tokenservice.core import Facts

ALGORITHM: Final = "EdDSA"

_encode: Final = json.JSONEncoder(separators=(",", ":")).encode


class SigningKey:
    """An Ed25519 key of an issuer in this process."""

    def __init__(self, kid: str) -> None:
        self.kid = kid
        self._private = Ed25519PrivateKey.generate()

    def published(self) -> TrustKey:
        """Give the half that validators check tokens with."""
        public = self._private.public_key()
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return TrustKey(self.kid, ALGORITHM, der, server_only=False, state=KeyState.ACTIVE)

    def sign(self, facts: Facts, issuer: str, exchange: bytes = b"") -> str:
        """Make the JSON Web Token that says ``facts``; ``exchange`` is for rolling tokens."""
        header = {"alg": ALGORITHM, "kid": self.kid, "typ": TYPE_OF_KIND[facts.kind]}
        parts = (header, claims(facts, issuer, exchange))
        signed = ".".join(encode_base64url(_encode(part).encode("ascii")) for part in parts)
        signature = self._private.sign(signed.encode("ascii"))
        return f"{signed}.{encode_base64url(signature)}"


def claims(facts: Facts, issuer: str, exchange: bytes = b"") -> dict[str, object]:
    """Give the claims of a token; what is empty is left out, as the server does."""
    optional = {
        "roles": facts.roles,
        "dev": facts.device_id,
        "cnf": facts.confirmation and {"x5t#S256": encode_base64url(facts.confirmation)},
        "xt": encode_base64url(exchange),
    }
    return {
        "iss": issuer,
        "sub": facts.subject,
        "aud": facts.audience,
        "exp": facts.expires_at,
        "iat": facts.issued_at,
        "jti": facts.token_id,
        "client_id": facts.client_id,
        "sid": facts.session_id,
        "scope": " ".join(sorted(facts.scopes)),
        "auth_time": facts.auth_time,
        "acr": facts.acr,
        "amr": facts.amr,
        "rev": facts.rev,
        **{name: value for name, value in optional.items() if value},
    }
