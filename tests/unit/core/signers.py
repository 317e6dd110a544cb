"""One signer per algorithm, made with cryptography alone, and PyJWT's object to compare with."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import (
    Algorithm,
    ECAlgorithm,
    HMACAlgorithm,
    OKPAlgorithm,
    RSAAlgorithm,
    RSAPSSAlgorithm,
)

ALGORITHMS = ["EdDSA", "ES256", "RS256", "PS256", "HS256"]
ASYMMETRIC = ALGORITHMS[:-1]


every_algorithm = pytest.mark.parametrize("alg", ALGORITHMS)
SECRET = bytes(range(32))


@dataclass(frozen=True)
class Signer:
    """An algorithm, its public key (or secret) and a way to sign."""

    alg: str
    key: Any
    sign: Callable[[bytes], bytes]
    pyjwt: Algorithm


def es256_signature(private: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@cache
def signers() -> dict[str, Signer]:
    """All signers, made once."""
    ed = ed25519.Ed25519PrivateKey.generate()
    p256 = ec.generate_private_key(ec.SECP256R1())
    big = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    sha = hashes.SHA256()
    pss = padding.PSS(mgf=padding.MGF1(sha), salt_length=32)
    return {
        "EdDSA": Signer("EdDSA", ed.public_key(), ed.sign, OKPAlgorithm()),
        "ES256": Signer(
            "ES256",
            p256.public_key(),
            lambda m: es256_signature(p256, m),
            ECAlgorithm(hashes.SHA256, ec.SECP256R1),
        ),
        "RS256": Signer(
            "RS256",
            big.public_key(),
            lambda m: big.sign(m, padding.PKCS1v15(), sha),
            RSAAlgorithm(hashes.SHA256),
        ),
        "PS256": Signer(
            "PS256",
            big.public_key(),
            lambda m: big.sign(m, pss, sha),
            RSAPSSAlgorithm(hashes.SHA256),
        ),
        "HS256": Signer(
            "HS256",
            SECRET,
            lambda m: hmac.digest(SECRET, m, hashlib.sha256),
            HMACAlgorithm(HMACAlgorithm.SHA256),
        ),
    }
