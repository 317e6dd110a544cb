"""Signature checks behind the port of the pure core (:class:`tokenservice.core.SignatureCheck`).

PyJWT's algorithm objects do the mathematics; nothing else of PyJWT is used. Its ``decode``
accepts key text where a key object is due, reads the wall clock and knows no strict parsing.
EdDSA, by default the algorithm of every token, is checked by libsodium (PyNaCl), which needs half
the time that OpenSSL does and refuses, too, keys and signatures of small order.
Here an algorithm belongs to a key from the moment it is loaded, so what a token's header says
can only match or not match: it chooses nothing (RFC 8725, sections 3.1 and 3.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from jwt.algorithms import (
    ECAlgorithm,
    HMACAlgorithm,
    RSAAlgorithm,
    RSAPSSAlgorithm,
)
from jwt.exceptions import InvalidKeyError
from nacl.bindings import crypto_sign_BYTES, crypto_sign_open
from nacl.exceptions import BadSignatureError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenservice.core.tokens.jose import ParsedJwt
    from tokenservice.core.trust import TrustKey

PublicKey: TypeAlias = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096
"""A larger key would let whoever publishes it make every check expensive."""
MIN_SECRET_LENGTH: Final = 32

_ES256: Final = ECAlgorithm(hashes.SHA256, SECP256R1)
_RS256: Final = RSAAlgorithm(hashes.SHA256)
_PS256: Final = RSAPSSAlgorithm(hashes.SHA256)
_HS256: Final = HMACAlgorithm(HMACAlgorithm.SHA256)


class KeyRefused(ValueError):  # noqa: N818 - named for what happened
    """A key does not fit its algorithm. The message holds nothing of the key."""


class _Verify(Protocol):
    def __call__(self, message: bytes, signature: bytes) -> bool: ...


class SignatureVerifier:
    """One key and the one algorithm it is used with."""

    __slots__ = ("_verify", "alg")

    def __init__(self, alg: str, key: PublicKey | bytes) -> None:
        """Raise KeyRefused unless ``key`` is one that ``alg`` may be used with.

        ``key`` is a public key object, or for HS256 the secret (32 bytes at least).
        """
        self.alg = alg
        self._verify = _bind(alg, key)

    def verify(self, signing_input: bytes, signature: bytes) -> bool:
        """Whether the signature is right; False, not an exception, for any other bytes."""
        return self._verify(signing_input, signature)


class Keyring:
    """Checks tokens with keys held in memory; the key named by a token is never fetched.

    Loaded keys are kept for as long as they are offered. ``secrets`` are those of HS256 keys
    by kid, which only a server has: in a gateway such a token never checks.
    """

    __slots__ = ("_loaded", "_secrets")

    def __init__(self, secrets: Mapping[str, bytes] | None = None) -> None:
        self._secrets: Mapping[str, bytes] = secrets if secrets is not None else {}
        self._loaded: dict[str, tuple[TrustKey, SignatureVerifier | None]] = {}

    def check(self, parsed: ParsedJwt, keys: Mapping[str, TrustKey]) -> bool:
        """Whether the one of ``keys`` that the token names signed it with its own algorithm."""
        key = keys.get(parsed.kid)
        if key is None or parsed.alg != key.alg:
            return False
        loaded = self._loaded.get(parsed.kid)
        # Compared by identity first: the same object is offered until the keys change.
        if loaded is None or (loaded[0] is not key and loaded[0] != key):
            loaded = self._load(key, keys)
        verifier = loaded[1]
        return verifier is not None and verifier.verify(parsed.signing_input, parsed.signature)

    def _load(
        self, key: TrustKey, keys: Mapping[str, TrustKey]
    ) -> tuple[TrustKey, SignatureVerifier | None]:
        for kid in self._loaded.keys() - keys.keys():
            self._loaded.pop(kid, None)
        loaded = (key, self._verifier(key))
        # A secret may arrive after the key was announced, so its absence is not remembered.
        if loaded[1] is not None or key.alg != "HS256":
            self._loaded[key.kid] = loaded
        return loaded

    def _verifier(self, key: TrustKey) -> SignatureVerifier | None:
        """Load a key; None for one that nothing can be checked with here."""
        try:
            if key.alg != "HS256":
                return SignatureVerifier(key.alg, load_public_key(key.alg, key.public_key))
            secret = self._secrets.get(key.kid)
            # A symmetric key that anybody published is no key (a public key taken as a
            # secret is the oldest confusion of all).
            if secret is None or not key.server_only or key.public_key:
                return None
            return SignatureVerifier("HS256", secret)
        except KeyRefused:
            return None


def load_public_key(alg: str, der: bytes) -> PublicKey:
    """Read a DER SubjectPublicKeyInfo; raises KeyRefused unless it fits ``alg``."""
    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyRefused("not a public key") from None
    if not isinstance(key, Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey):
        raise KeyRefused("key type not supported")
    _check_fit(alg, key)
    return key


def _check_fit(alg: str, key: object) -> None:
    match alg, key:
        case "EdDSA", Ed25519PublicKey():
            return
        case "ES256", EllipticCurvePublicKey(curve=SECP256R1()):
            return
        case "RS256" | "PS256", RSAPublicKey(key_size=bits):
            if MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
                return
        case "HS256", bytes():
            if len(key) >= MIN_SECRET_LENGTH:
                return
    raise KeyRefused("the key does not fit the algorithm")


def _bind(alg: str, key: PublicKey | bytes) -> _Verify:
    _check_fit(alg, key)
    try:
        if isinstance(key, Ed25519PublicKey):
            return _ed25519(key)
        if isinstance(key, EllipticCurvePublicKey):
            _ES256.prepare_key(key)
            return lambda message, signature: _ES256.verify(message, key, signature)
        if isinstance(key, RSAPublicKey):
            return _rsa(_PS256 if alg == "PS256" else _RS256, key)
        secret = _HS256.prepare_key(key)
        return lambda message, signature: _HS256.verify(message, secret, signature)
    except (InvalidKeyError, TypeError, ValueError):
        raise KeyRefused("the key does not fit the algorithm") from None


def _rsa(algorithm: RSAAlgorithm, key: RSAPublicKey) -> _Verify:
    """RFC 8017, sections 8.1.2 and 8.2.2: as many bytes as the modulus has. OpenSSL would take a
    signature without its leading zeros."""
    algorithm.prepare_key(key)
    length = (key.key_size + 7) // 8
    return lambda message, signature: (
        len(signature) == length and algorithm.verify(message, key, signature)
    )


def _ed25519(key: Ed25519PublicKey) -> _Verify:
    """RFC 8032, section 5.1.7: an Ed25519 signature has 64 bytes."""
    public = key.public_bytes_raw()

    def verify(message: bytes, signature: bytes) -> bool:
        if len(signature) != crypto_sign_BYTES:
            return False
        try:
            crypto_sign_open(signature + message, public)
        except BadSignatureError:
            return False
        return True

    return verify
