"""RSA keys that anybody can compute, and signatures by bare arithmetic: PSS draws no salt here."""

from functools import cache
from hashlib import sha256
from itertools import count
from math import gcd
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from tests.vectors.parts import seed

_EXPONENT: Final = 65537
_SHA256_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")
_SHA256_INFO_WITHOUT_NULL: Final = bytes.fromhex("302f300b0609608648016503040201" + "0420")
_SMALL_PRIMES: Final = [n for n in range(3, 2000, 2) if all(n % d for d in range(3, n, 2))]
_HASH: Final = 32


class RsaKey(NamedTuple):
    """A private key."""

    modulus: int
    exponent: int
    bits: int

    def public_key(self) -> RSAPublicKey:
        """The public half."""
        return RSAPublicNumbers(_EXPONENT, self.modulus).public_key()

    def raw(self, encoded: bytes) -> bytes:
        """The private operation, on an encoded message as long as the modulus."""
        number = pow(int.from_bytes(encoded, "big"), self.exponent, self.modulus)
        return number.to_bytes(self.bits // 8, "big")


@cache
def rsa_key(bits: int) -> RsaKey:
    """Derive the key of this size."""
    p, q = _prime(bits // 2, f"rsa {bits} p"), _prime(bits // 2, f"rsa {bits} q")
    modulus = p * q
    assert modulus.bit_length() == bits
    return RsaKey(modulus, pow(_EXPONENT, -1, (p - 1) * (q - 1)), bits)


def pkcs1(key: RsaKey, message: bytes) -> bytes:
    """PKCS #1 v1.5 with SHA-256 (RFC 8017, section 8.2.1)."""
    return key.raw(_padded(key, _SHA256_INFO + sha256(message).digest()))


def pkcs1_without_null(key: RsaKey, message: bytes) -> bytes:
    """The same with parameters left out of the hash's identifier: another encoding."""
    return key.raw(_padded(key, _SHA256_INFO_WITHOUT_NULL + sha256(message).digest()))


def pkcs1_with_garbage(key: RsaKey, message: bytes) -> bytes:
    """The same with little padding, and garbage after the hash."""
    info = b"\x00\x01" + b"\xff" * 8 + b"\x00" + _SHA256_INFO + sha256(message).digest()
    return key.raw(info + b"\xa5" * (key.bits // 8 - len(info)))


def pss(key: RsaKey, message: bytes, salt: bytes) -> bytes:
    """PSS with SHA-256 and this salt (RFC 8017, section 9.1.1)."""
    length = key.bits // 8
    digest = sha256(bytes(8) + sha256(message).digest() + salt).digest()
    block = bytes(length - len(salt) - _HASH - 2) + b"\x01" + salt
    masked = bytearray(a ^ b for a, b in zip(block, _mask(digest, len(block)), strict=True))
    masked[0] &= 0x7F
    return key.raw(bytes(masked) + digest + b"\xbc")


def _padded(key: RsaKey, info: bytes) -> bytes:
    return b"\x00\x01" + b"\xff" * (key.bits // 8 - len(info) - 3) + b"\x00" + info


def _mask(source: bytes, length: int) -> bytes:
    blocks = (sha256(source + n.to_bytes(4, "big")).digest() for n in range(length // _HASH + 1))
    return b"".join(blocks)[:length]


def _prime(bits: int, purpose: str) -> int:
    drawn = b"".join(seed(f"{purpose} {n}") for n in range(bits // 256 + 1))
    top = 3 << (bits - 2)  # both upper bits: the product has all of its bits
    start = int.from_bytes(drawn, "big") % (1 << (bits - 2)) | top | 1
    for candidate in count(start, 2):
        if all(candidate % prime for prime in _SMALL_PRIMES) and _probably_prime(candidate):
            return candidate
    raise AssertionError


def _probably_prime(number: int) -> bool:
    """Fermat's test suffices: the start is fixed, and a test signs and verifies with the key."""
    return pow(2, number - 1, number) == 1 and gcd(number - 1, _EXPONENT) == 1
