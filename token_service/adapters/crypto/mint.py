"""Session tokens: any generation of any session, made and authenticated without being stored."""

from uuid import UUID

from token_service.adapters.crypto.keyring import Keyring, MacKey
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import KeyPurpose, TokenKind
from token_service.domain.ports import AuthenticSession
from tokenservice.core import (
    MalformedToken,
    UnknownToken,
    parse_jwt,
    parse_opaque,
    seal_session,
    session_mac_valid,
    session_payload,
    unpack_session,
)
from tokenservice.core.tokens.opaque import PREFIX, ROLLING_CODE, SESSION_CODES, SESSION_KINDS


class HeldMintKey:
    """Implements `ports.HeldMintKey`."""

    __slots__ = ("_key", "kid")

    def __init__(self, key: MacKey) -> None:
        self.kid = key.kid
        self._key = key.key

    def token(self, kind: TokenKind, lookup_id: UUID, generation: int) -> str:
        """Make the session token of one generation, the same each time. A secret.

        Raises ValueError for a kind without session token.
        """
        code = SESSION_CODES.get(kind)
        if code is None:
            raise ValueError(f"{kind.name} has no session token")
        return seal_session(code, self.kid, self._key, lookup_id.bytes, generation)

    def exchange_claim(self, lookup_id: UUID, generation: int) -> bytes:
        """Make the `xt` claim of a rolling token, 44 bytes. A secret."""
        return session_payload(ROLLING_CODE, self.kid, self._key, lookup_id.bytes, generation)


class Mint:
    """Implements `SessionMint`.

    The MAC covers the kind, so a token of one kind is none of another; a rolling session's
    authority is the `xt` claim of its JWT, with a MAC code of its own that no opaque string has.
    """

    def __init__(self, keyring: Keyring, issuer: str) -> None:
        self._keyring = keyring
        self._issuer = issuer

    def active(self) -> HeldMintKey:
        """Hold the key that the next generation is made with. Raises KEY_STATE for none."""
        return HeldMintKey(self._keyring.active_mac_key(KeyPurpose.MINT))

    def held(self, mint_kid: str) -> HeldMintKey:
        """Hold the key of a generation that is there.

        Raises TOKEN_REVOKED for a compromised key, TRUST_STALE for one not known here.
        """
        key = self._keyring.mac_key(KeyPurpose.MINT, mint_kid)
        if key is None:
            self._refuse_compromised(mint_kid)
            raise TokenServiceError(
                Reason.TRUST_STALE, "this node does not know the session's mint key"
            )
        return HeldMintKey(key)

    def authenticate(self, token: str) -> AuthenticSession:
        """Read a session token, or a rolling JWT by its `xt`. Touches no store.

        What became of a rolling token's signing key and whether it expired do not matter; but as
        long as the key is known, its signature has to be right. Raises TOKEN_MALFORMED,
        TOKEN_UNKNOWN, TOKEN_REVOKED for a compromised mint key, or TRUST_STALE for a key whose
        secret this node lacks.
        """
        try:
            kind, code, payload = self._payload(token)
            ref = unpack_session(payload)
        except UnknownToken:
            raise _unknown() from None
        except MalformedToken:
            raise TokenServiceError(
                Reason.TOKEN_MALFORMED, "this is not a session or rolling token"
            ) from None
        key = self._keyring.mac_key(KeyPurpose.MINT, ref.mint_key_id)
        if key is None:
            self._refuse_compromised(ref.mint_key_id)
            raise _unknown()
        if not session_mac_valid(code, payload, key.key):
            raise _unknown()
        return AuthenticSession(kind, UUID(bytes=ref.lookup_id), ref.generation, key.kid)

    def _payload(self, token: str) -> tuple[TokenKind, str, bytes]:
        if token.startswith(PREFIX):
            opaque = parse_opaque(token)
            kind = SESSION_KINDS.get(opaque.code)
            if kind is None:
                raise MalformedToken("not a session token")
            return kind, opaque.code, opaque.payload
        parsed = parse_jwt(token, self._issuer)
        if parsed.exchange is None:
            raise MalformedToken("not a rolling token")
        signer = self._keyring.signing_key(parsed.kid)
        if signer is not None and not signer.signed(parsed):
            raise UnknownToken("not signed by a key of ours")
        return TokenKind.ROLLING, ROLLING_CODE, parsed.exchange

    def _refuse_compromised(self, kid: str) -> None:
        if self._keyring.is_compromised(KeyPurpose.MINT, kid):
            raise TokenServiceError(Reason.TOKEN_REVOKED, "the token's key was compromised")


def _unknown() -> TokenServiceError:
    return TokenServiceError(Reason.TOKEN_UNKNOWN, "the token was not issued here")
