"""Client and registration secrets: random to everyone else, kept only as keyed hashes."""

import hmac

from token_service.adapters.crypto.keyring import Keyring
from token_service.domain.errors import TokenServiceError
from token_service.domain.kinds import KeyPurpose
from tokenservice.core import MalformedToken, format_opaque, parse_opaque
from tokenservice.core.tokens.opaque import CLIENT_SECRET_CODE, REGISTRATION_SECRET_CODE

CODES = frozenset({CLIENT_SECRET_CODE, REGISTRATION_SECRET_CODE})

# The pepper's two uses must never meet: a hash at rest is not a secret in disguise.
MAKE = b"make"
HASH = b"hash"


class PepperedSecrets:
    """Implements `Secrets`.

    A secret has 256 bits; its hash is HMAC-SHA256 under a pepper with the kind in the input.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def make(self, code: str, context: bytes) -> tuple[str, bytes, str]:
        """Make (secret, hash, pepper id).

        The same `context` gives the same secret again while the pepper is the active one; it must
        differ between any two secrets. Raises KEY_STATE when no pepper is active, ValueError for
        another code.
        """
        if code not in CODES:
            raise ValueError("not a kind of secret")
        pepper = self._keyring.active_mac_key(KeyPurpose.PEPPER)
        payload = keyed(pepper.key, MAKE, code.encode("ascii"), context)
        return format_opaque(code, payload), _hash(pepper.key, code, payload), pepper.kid

    def hash(self, code: str, secret: str, pepper_id: str) -> bytes | None:
        """Hash a presented secret, to be compared in constant time (`hmac.compare_digest`).

        None when the pepper is not known (any more). Raises MalformedToken for anything but a
        secret of this kind.
        """
        payload = _payload(code, secret)
        pepper = self._keyring.mac_key(KeyPurpose.PEPPER, pepper_id)
        return None if pepper is None else _hash(pepper.key, code, payload)

    def check(self, code: str, secret: str) -> None:
        """Raises MalformedToken for what is not shaped like such a secret."""
        _payload(code, secret)

    def rehash(self, code: str, secret: str, pepper_id: str) -> tuple[bytes, str] | None:
        """Hash a secret under the active pepper: (hash, pepper id).

        None where `pepper_id` is that already, and where this node cannot have it.
        """
        try:
            pepper = self._keyring.active_mac_key(KeyPurpose.PEPPER)
        except TokenServiceError:
            return None
        if pepper.kid == pepper_id:
            return None
        return _hash(pepper.key, code, _payload(code, secret)), pepper.kid

    def active_pepper(self) -> str:
        """Name the pepper of new hashes. Raises KEY_STATE for none."""
        return self._keyring.active_mac_key(KeyPurpose.PEPPER).kid

    def bucket(self, *parts: str) -> bytes:
        """Hash for limiter buckets, the same on all nodes.

        It does not say whom it counts, and nobody outside can compute it. Raises KEY_STATE when
        no pepper is active.
        """
        key = self._keyring.limiter_key()
        return keyed(key, *(part.encode("utf-8") for part in parts))


def _payload(code: str, secret: str) -> bytes:
    opaque = parse_opaque(secret)
    if code not in CODES or opaque.code != code:
        raise MalformedToken("not a secret of this kind")
    return opaque.payload


def _hash(pepper: bytes, code: str, payload: bytes) -> bytes:
    return keyed(pepper, HASH, code.encode("ascii"), payload)


def keyed(key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA256 over parts, each with its length: no two lists of parts are spelled alike."""
    message = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hmac.digest(key, message, "sha256")
