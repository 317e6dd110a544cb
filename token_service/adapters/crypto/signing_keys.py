"""Keys that sign JSON Web Tokens: made, packed, loaded, and bound to one algorithm each."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from jwt.algorithms import (
    Algorithm,
    ECAlgorithm,
    HMACAlgorithm,
    RSAAlgorithm,
    RSAPSSAlgorithm,
)
from nacl.bindings import crypto_sign, crypto_sign_BYTES

from token_service.domain.kinds import TokenKind
from tokenservice._decisions.signatures import KeyRefused, PublicKey, SignatureVerifier
from tokenservice.core import ParsedJwt
from tokenservice.core.tokens.encoding import encode_base64url
from tokenservice.core.tokens.jose import TYPE_OF_KIND

RSA_BITS = 3072
"""128 bits of security (NIST SP 800-57 part 1, table 2)."""

HMAC_KEY_BYTES = 32
SYMMETRIC = "HS256"

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey | rsa.RSAPrivateKey

_SIGNERS: Mapping[str, Algorithm] = {
    "ES256": ECAlgorithm(hashes.SHA256, SECP256R1),
    "RS256": RSAAlgorithm(hashes.SHA256),
    "PS256": RSAPSSAlgorithm(hashes.SHA256),
    SYMMETRIC: HMACAlgorithm(HMACAlgorithm.SHA256),
}


_SIGNATURE_LENGTHS: Mapping[str, int] = {"EdDSA": crypto_sign_BYTES, "ES256": 64, SYMMETRIC: 32}
"""In bytes; of RSA keys it is that of the modulus (RFC 7518, section 3)."""


class SigningKey:
    """A usable key: signs with its own algorithm, and checks what it signed.

    `public_key` is the DER SubjectPublicKeyInfo, empty for HS256; `headers` are the encoded JWS
    headers by kind of token; `signature_length` is in bytes.
    """

    __slots__ = (
        "_sign",
        "_verifier",
        "algorithm",
        "headers",
        "kid",
        "public_key",
        "signature_length",
    )

    def __init__(self, kid: str, algorithm: str, packed: bytes) -> None:
        """Load what `new_private_half` packed.

        Raises ValueError, naming the kid only, when the key does not fit the algorithm.
        """
        self.kid = kid
        self.algorithm = algorithm
        if algorithm == SYMMETRIC:
            key: PrivateKey | bytes = packed
            self.public_key = b""
            self._verifier = _verifier(kid, algorithm, packed)
        else:
            key = private = _load(kid, packed)
            self.public_key = _public_der(private)
            self._verifier = _verifier(kid, algorithm, private.public_key())
        self._sign = _signer(kid, algorithm, key)
        self.signature_length = (
            key.key_size // 8
            if isinstance(key, rsa.RSAPrivateKey)
            else _SIGNATURE_LENGTHS[algorithm]
        )
        self.headers = _headers(kid, algorithm)

    def sign(self, signing_input: bytes) -> bytes:
        """Make the JWS signature (RFC 7518, section 3)."""
        return self._sign(signing_input)

    def signed(self, parsed: ParsedJwt) -> bool:
        """Whether this key signed the token with this key's algorithm."""
        return parsed.alg == self.algorithm and self._verifier.verify(
            parsed.signing_input, parsed.signature
        )

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r}, algorithm={self.algorithm!r})"


def new_private_half(algorithm: str, random_bytes: Callable[[int], bytes]) -> bytes:
    """Make a new key, packed: PKCS #8 DER, or the bare secret for HS256. A secret.

    RSA takes up to some seconds. Raises ValueError for an unknown algorithm.
    """
    match algorithm:
        case "EdDSA":
            return _private_der(Ed25519PrivateKey.generate())
        case "ES256":
            return _private_der(generate_private_key(SECP256R1()))
        case "RS256" | "PS256":
            return _private_der(rsa.generate_private_key(65537, RSA_BITS))
        case "HS256":
            return random_bytes(HMAC_KEY_BYTES)
    raise ValueError(f"unknown signing algorithm {algorithm!r}")


def _signer(kid: str, algorithm: str, key: PrivateKey | bytes) -> Callable[[bytes], bytes]:
    if isinstance(key, Ed25519PrivateKey):
        # libsodium needs two thirds of the time that OpenSSL does. Its secret key is the seed
        # with the public key.
        secret = key.private_bytes_raw() + key.public_key().public_bytes_raw()
        return lambda signing_input: crypto_sign(signing_input, secret)[:crypto_sign_BYTES]
    signer = _SIGNERS.get(algorithm)
    if signer is None:
        raise ValueError(f"key {kid}: unknown signing algorithm")
    return lambda signing_input: signer.sign(signing_input, key)


def _verifier(kid: str, algorithm: str, key: PublicKey | bytes) -> SignatureVerifier:
    try:
        return SignatureVerifier(algorithm, key)
    except KeyRefused:
        raise ValueError(f"key {kid}: it does not fit {algorithm}") from None


def _load(kid: str, packed: bytes) -> PrivateKey:
    try:
        # RSA's own consistency check takes 0.1 s, on the event loop; it is ours and was
        # authenticated when it was unsealed.
        key = load_der_private_key(packed, password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError):
        raise ValueError(f"key {kid}: its private half cannot be read") from None
    if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError(f"key {kid}: its type is not supported")  # noqa: TRY004 - bad data
    return key


def _private_der(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _public_der(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _headers(kid: str, algorithm: str) -> Mapping[TokenKind, str]:
    """Exactly alg, kid and typ (RFC 8725, section 3.11), encoded once per key."""
    return MappingProxyType(
        {
            kind: encode_base64url(
                json.dumps(
                    {"alg": algorithm, "kid": kid, "typ": typ}, separators=(",", ":")
                ).encode()
            )
            for kind, typ in TYPE_OF_KIND.items()
        }
    )
