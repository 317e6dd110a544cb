"""Private halves at rest: AES-256-GCM, bound to the key that they belong to."""

from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from token_service.domain.kinds import KeyPurpose

VERSION = b"\x01"
"""First byte of what is stored: names the layout `version | nonce 12 | ciphertext | tag 16`."""

_NONCE_BYTES = 12
_TAG_BYTES = 16


def seal(
    key_encryption_key: bytes,
    kid: str,
    purpose: KeyPurpose,
    private: bytes,
    random_bytes: Callable[[int], bytes],
) -> bytes:
    """Encrypt `private`.

    A nonce is drawn per seal; a key seals few records, far from its bound of 2**32 (NIST SP
    800-38D, section 8.3).
    """
    nonce = random_bytes(_NONCE_BYTES)
    aad = _binding(kid, purpose)
    return VERSION + nonce + AESGCM(key_encryption_key).encrypt(nonce, private, aad)


def unseal(key_encryption_key: bytes, kid: str, purpose: KeyPurpose, sealed: bytes) -> bytes:
    """Decrypt what `seal` made.

    Raises ValueError, naming the kid only, for anything that was not sealed under this key for
    this kid and purpose.
    """
    body = sealed[len(VERSION) :]
    if not sealed.startswith(VERSION) or len(body) < _NONCE_BYTES + _TAG_BYTES:
        raise ValueError(f"key {kid}: its sealed half has an unknown form")
    aad = _binding(kid, purpose)
    try:
        return AESGCM(key_encryption_key).decrypt(body[:_NONCE_BYTES], body[_NONCE_BYTES:], aad)
    except InvalidTag:
        raise ValueError(f"key {kid}: its sealed half is not authentic") from None


def _binding(kid: str, purpose: KeyPurpose) -> bytes:
    return kid.encode() + purpose.to_bytes(1, "big")
