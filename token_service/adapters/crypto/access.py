"""Access and rolling tokens: JWTs (RFC 9068) and opaque ones."""

import json
from dataclasses import replace

from token_service.adapters.crypto.keyring import Keyring
from token_service.domain.key_schedule import DEFAULT_ALGORITHM
from token_service.domain.kinds import KeyPurpose, TokenKind
from tokenservice.core import (
    MAX_TOKEN_LENGTH,
    Facts,
    MalformedToken,
    OpaqueAccess,
    UnknownKey,
    UnknownToken,
    access_mac_valid,
    parse_jwt,
    parse_opaque,
    seal_access,
    unpack_access,
)
from tokenservice.core.encoding import encode_base64url
from tokenservice.core.opaque import ACCESS_CODE, SESSION_PAYLOAD_LENGTH

# Built once: json.dumps with separators would build an encoder on every call.
_encode_json = json.JSONEncoder(separators=(",", ":")).encode


class AccessTokenFactory:
    """Implements `AccessTokens`."""

    def __init__(
        self, keyring: Keyring, issuer: str, default_algorithm: str = DEFAULT_ALGORITHM
    ) -> None:
        self._keyring = keyring
        self._issuer = issuer
        self._default_algorithm = default_algorithm

    def sign_jwt(self, facts: Facts, algorithm: str, exchange_claim: bytes = b"") -> str:
        """Make a JWT with `facts`, signed by the active key of `algorithm` (empty: the default).

        A rolling token needs its `exchange_claim`, an access token has none. Raises KEY_STATE
        when no key of the algorithm is active, ValueError for a token that nobody would accept.
        """
        due = SESSION_PAYLOAD_LENGTH if facts.kind is TokenKind.ROLLING else 0
        if len(exchange_claim) != due:
            raise ValueError("rolling tokens have an exchange claim, others have none")
        key = self._keyring.signer(algorithm or self._default_algorithm)
        header = key.headers.get(facts.kind)
        if header is None:
            raise ValueError(f"{facts.kind.name} is not a kind of JWT")
        payload = _encode_json(_claims(facts, self._issuer, exchange_claim))
        signing_input = f"{header}.{encode_base64url(payload.encode('ascii'))}"
        signature = encode_base64url(key.sign(signing_input.encode("ascii")))
        token = f"{signing_input}.{signature}"
        if len(token) > MAX_TOKEN_LENGTH:
            raise ValueError("the token would be longer than any validator reads")
        return token

    def seal_opaque(self, access: OpaqueAccess) -> str:
        """Make an opaque access token under the active key.

        Raises KEY_STATE when there is none, ValueError for fields out of range.
        """
        key = self._keyring.active_mac_key(KeyPurpose.OPAQUE)
        return seal_access(replace(access, key_id=key.kid), key.key)

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
