"""Access and rolling tokens: JWTs (RFC 9068) and opaque ones."""

import json
from dataclasses import replace

from token_service.adapters.crypto.keyring import Keyring, MacKey
from token_service.adapters.crypto.signing_keys import SigningKey
from token_service.domain.keys.schedule import DEFAULT_ALGORITHM
from token_service.domain.kinds import KeyPurpose, TokenKind
from tokenservice.core import (
    MAX_TOKEN_LENGTH,
    Facts,
    MalformedToken,
    OpaqueAccess,
    UnknownKey,
    UnknownToken,
    access_mac_valid,
    format_opaque,
    parse_jwt,
    parse_opaque,
    seal_access,
    unpack_access,
)
from tokenservice.core.tokens.claim_values import MAX_REVISION
from tokenservice.core.tokens.encoding import encode_base64url, encoded_length
from tokenservice.core.tokens.opaque import (
    ACCESS_CODE,
    ACCESS_PAYLOAD_LENGTH,
    SESSION_PAYLOAD_LENGTH,
)

# Built once: json.dumps with separators would build an encoder on every call.
_encode_json = json.JSONEncoder(separators=(",", ":")).encode


class TokenSigner:
    """Implements `ports.TokenSigner`."""

    __slots__ = ("_issuer", "_key")

    def __init__(self, key: SigningKey, issuer: str) -> None:
        self._key = key
        self._issuer = issuer

    def length(self, facts: Facts) -> int:
        """Measure the JWT with `facts`, in characters: whatever `rev` will be, it is no longer."""
        due = bytes(SESSION_PAYLOAD_LENGTH) if facts.kind is TokenKind.ROLLING else b""
        payload = _encode_json(_claims(replace(facts, rev=MAX_REVISION), self._issuer, due))
        parts = len(payload), self._key.signature_length
        return len(self._header(facts.kind)) + sum(1 + encoded_length(part) for part in parts)

    def sign(self, facts: Facts, exchange_claim: bytes = b"") -> str:
        """Make a JWT with `facts`.

        A rolling token needs its `exchange_claim`, an access token has none. Raises ValueError for
        a token that nobody would accept.
        """
        due = SESSION_PAYLOAD_LENGTH if facts.kind is TokenKind.ROLLING else 0
        if len(exchange_claim) != due:
            raise ValueError("rolling tokens have an exchange claim, others have none")
        payload = _encode_json(_claims(facts, self._issuer, exchange_claim))
        signing_input = f"{self._header(facts.kind)}.{encode_base64url(payload.encode('ascii'))}"
        signature = encode_base64url(self._key.sign(signing_input.encode("ascii")))
        token = f"{signing_input}.{signature}"
        if len(token) > MAX_TOKEN_LENGTH:
            raise ValueError("the token would be longer than any validator reads")
        return token

    def _header(self, kind: TokenKind) -> str:
        header = self._key.headers.get(kind)
        if header is None:
            raise ValueError(f"{kind.name} is not a kind of JWT")
        return header


class TokenSealer:
    """Implements `ports.TokenSealer`."""

    __slots__ = ("_key",)

    length = len(format_opaque(ACCESS_CODE, bytes(ACCESS_PAYLOAD_LENGTH)))

    def __init__(self, key: MacKey) -> None:
        self._key = key

    def seal(self, access: OpaqueAccess) -> str:
        """Make an opaque access token. Raises ValueError for fields out of range."""
        return seal_access(replace(access, key_id=self._key.kid), self._key.key)


class AccessTokenFactory:
    """Implements `AccessTokens`."""

    def __init__(
        self, keyring: Keyring, issuer: str, default_algorithm: str = DEFAULT_ALGORITHM
    ) -> None:
        self._keyring = keyring
        self._issuer = issuer
        self._default_algorithm = default_algorithm

    def signer(self, algorithm: str) -> TokenSigner:
        """Hold the active key of `algorithm` (empty: the default). Raises KEY_STATE for none."""
        key = self._keyring.signer(algorithm or self._default_algorithm)
        return TokenSigner(key, self._issuer)

    def sealer(self) -> TokenSealer:
        """Hold the active key of opaque tokens. Raises KEY_STATE for none."""
        return TokenSealer(self._keyring.active_mac_key(KeyPurpose.OPAQUE))

    def sign_jwt(self, facts: Facts, algorithm: str, exchange_claim: bytes = b"") -> str:
        """Sign at once, for who has nothing to lose in between. Raises as both steps do."""
        return self.signer(algorithm).sign(facts, exchange_claim)

    def seal_opaque(self, access: OpaqueAccess) -> str:
        """Seal at once. Raises as both steps do."""
        return self.sealer().seal(access)

    def authenticate_jwt(self, token: str) -> Facts:
        """Parse strictly and check the signature; no time, no trust.

        Raises MalformedToken, UnknownKey (also for a retired or compromised one) or UnknownToken
        (foreign issuer, wrong signature).
        """
        parsed = parse_jwt(token, self._issuer)
        key = self._keyring.signing_key(parsed.kid)
        if key is None:
            raise UnknownKey(parsed.kid)
        if not key.signed(parsed):
            raise UnknownToken("not signed by a key of ours")
        return parsed.facts

    def authenticate_opaque(self, token: str) -> OpaqueAccess:
        """Check form, checksum and MAC. Raises MalformedToken, UnknownKey or UnknownToken."""
        opaque = parse_opaque(token)
        if opaque.code != ACCESS_CODE:
            raise MalformedToken("not an access token")
        access = unpack_access(opaque.payload)
        key = self._keyring.mac_key(KeyPurpose.OPAQUE, access.key_id)
        if key is None:
            raise UnknownKey(access.key_id)
        if not access_mac_valid(opaque.payload, key.key):
            raise UnknownToken("not sealed with a key of ours")
        return access


def _claims(facts: Facts, issuer: str, exchange_claim: bytes) -> dict[str, object]:
    claims: dict[str, object] = {
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
    }
    if facts.roles:
        claims["roles"] = facts.roles
    if facts.device_id:
        claims["dev"] = facts.device_id
    if facts.confirmation:
        claims["cnf"] = {"x5t#S256": encode_base64url(facts.confirmation)}
    if exchange_claim:
        claims["xt"] = encode_base64url(exchange_claim)
    return claims
