"""Whether a published key signed a token."""

import hmac
from collections.abc import Callable
from hashlib import sha256, sha512
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.vectors.opaque import access, spell
from tests.vectors.parts import (
    ED25519,
    ISSUER,
    P256,
    P256_ORDER,
    b64,
    claims,
    der,
    entry,
    header,
    key,
    seed,
    standard,
    unsigned,
)
from tests.vectors.rsa_keys import (
    RsaKey,
    pkcs1,
    pkcs1_with_garbage,
    pkcs1_without_null,
    pss,
    rsa_key,
)

_ED_ORDER = 2**252 + 27742317777372353535851937790883648493
_ED_PREFIX = bytes.fromhex("302a300506032b6570032100")
_IDENTITY = b"\x01" + bytes(31)
_IDENTITY_NOT_CANONICAL = b"\xee" + b"\xff" * 30 + b"\x7f"
_BASE = b"\x58" + b"\x66" * 31
_ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
_ONE = b"\x01" + bytes(31)
_SALT = seed("salt")

AUTHENTIC, UNKNOWN, REVOKED, ASK = "authentic", "UNKNOWN", "REVOKED", "ask"
MALFORMED = "MALFORMED"

_ED, _ES = key(), key("es-1", alg="ES256", public_key=standard(der(P256.public_key())))
_RSA = standard(der(rsa_key(2048).public_key()))
_RS, _PS = key("rs-1", alg="RS256", public_key=_RSA), key("ps-1", alg="PS256", public_key=_RSA)
_HS = key("hs-1", alg="HS256", public_key="", server_only=True)
KEYS = [_ED, _ES, _RS, _PS, _HS]

Sign = Callable[[bytes], bytes]


def make() -> dict[str, Any]:
    """The file."""
    return {
        "about": "Authenticity of JWTs by published keys (tokens.md, verdict.md steps 3 to 8).",
        "issuer": ISSUER,
        "defaults": {"keys": KEYS, "entries": []},
        "cases": [*_eddsa(), *_es256(), *_rsa(), *_symmetric(), *_keys(), *_states(), *_opaque()],
    }


def es256(message: bytes) -> bytes:
    """A deterministic signature (RFC 6979)."""
    r, s = _r_and_s(message)
    return r + s


def _token(sign: Sign, **head: Any) -> str:
    first = unsigned(header(**head), claims())
    return f"{first}.{b64(sign(first.encode()))}"


def _case(name: str, token: str, expect: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "token": token, **changes, "expect": expect}


def _eddsa() -> list[dict[str, Any]]:
    def malleable(message: bytes) -> bytes:
        signature = ED25519.sign(message)
        s = int.from_bytes(signature[32:], "little") + _ED_ORDER
        return signature[:32] + s.to_bytes(32, "little")

    def small_order(message: bytes) -> bytes:
        digest = sha512(seed("ed25519")).digest()
        scalar = int.from_bytes(digest[:32], "little") & (2**254 - 8) | 2**254
        public = ED25519.public_key().public_bytes_raw()
        hashed = int.from_bytes(sha512(_IDENTITY + public + message).digest(), "little")
        return _IDENTITY + (hashed * scalar % _ED_ORDER).to_bytes(32, "little")

    signs: list[tuple[str, Sign, str]] = [
        ("EdDSA", ED25519.sign, AUTHENTIC),
        ("EdDSA, one bit changed", lambda m: _flipped(ED25519.sign(m), 0), UNKNOWN),
        ("EdDSA, last bit changed", lambda m: _flipped(ED25519.sign(m), 63), UNKNOWN),
        ("EdDSA of other text", lambda m: ED25519.sign(m + b"."), UNKNOWN),
        ("EdDSA, all zero", lambda _: bytes(64), UNKNOWN),
        ("EdDSA, 63 bytes", lambda m: ED25519.sign(m)[:63], UNKNOWN),
        ("EdDSA, 65 bytes", lambda m: ED25519.sign(m) + b"\x00", UNKNOWN),
        ("EdDSA, the signed text after it", lambda m: ED25519.sign(m) + m, UNKNOWN),
        ("EdDSA, S plus the group's order", malleable, UNKNOWN),
        ("EdDSA, R of small order", small_order, UNKNOWN),
        ("ES256 signature under the kid of an EdDSA key", es256, UNKNOWN),
    ]
    return [_case(name, _token(sign), expect) for name, sign, expect in signs]


def _es256() -> list[dict[str, Any]]:
    def high(message: bytes) -> bytes:
        r, s = _r_and_s(message)
        return r + _number(max(_integer(s), P256_ORDER - _integer(s)))

    def low(message: bytes) -> bytes:
        r, s = _r_and_s(message)
        return r + _number(min(_integer(s), P256_ORDER - _integer(s)))

    def as_der(message: bytes) -> bytes:
        return P256.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))

    order, zero = _number(P256_ORDER), bytes(32)
    signs: list[tuple[str, Sign, str]] = [
        ("ES256 with the lower s", low, AUTHENTIC),
        ("ES256 with the higher s", high, AUTHENTIC),
        ("ES256, one bit changed", lambda m: _flipped(es256(m), 40), UNKNOWN),
        ("ES256, r and s in DER", as_der, UNKNOWN),
        ("ES256, r and s swapped", lambda m: es256(m)[32:] + es256(m)[:32], UNKNOWN),
        ("ES256, 63 bytes", lambda m: es256(m)[:63], UNKNOWN),
        ("ES256, 65 bytes", lambda m: es256(m) + b"\x00", UNKNOWN),
        (
            "ES256, a zero before r and s",
            lambda m: b"\0" + es256(m)[:32] + b"\0" + es256(m)[32:],
            UNKNOWN,
        ),
        ("ES256, r and s zero", lambda _: zero + zero, UNKNOWN),
        ("ES256, r zero", lambda m: zero + es256(m)[32:], UNKNOWN),
        ("ES256, s zero", lambda m: es256(m)[:32] + zero, UNKNOWN),
        ("ES256, r is the order", lambda m: order + es256(m)[32:], UNKNOWN),
        ("ES256, s is the order", lambda m: es256(m)[:32] + order, UNKNOWN),
        ("ES256, all ones", lambda _: b"\xff" * 64, UNKNOWN),
    ]
    return [
        _case(name, _token(sign, alg="ES256", kid="es-1"), expect) for name, sign, expect in signs
    ]


def _rsa() -> list[dict[str, Any]]:
    big = rsa_key(2048)
    rs: list[tuple[str, Sign, str]] = [
        ("RS256", lambda m: pkcs1(big, m), AUTHENTIC),
        ("RS256, one bit changed", lambda m: _flipped(pkcs1(big, m), 100), UNKNOWN),
        ("RS256, a zero before it", lambda m: b"\x00" + pkcs1(big, m), UNKNOWN),
        ("RS256, without its last byte", lambda m: pkcs1(big, m)[:-1], UNKNOWN),
        ("RS256, hash's identifier without NULL", lambda m: pkcs1_without_null(big, m), UNKNOWN),
        ("RS256, garbage after the hash", lambda m: pkcs1_with_garbage(big, m), UNKNOWN),
        ("RS256, plus the modulus", lambda m: _plus_modulus(big, pkcs1(big, m)), UNKNOWN),
        ("PSS under the kid of an RS256 key", lambda m: pss(big, m, _SALT), UNKNOWN),
    ]
    ps: list[tuple[str, Sign, str]] = [
        ("PS256", lambda m: pss(big, m, _SALT), AUTHENTIC),
        ("PS256, one bit changed", lambda m: _flipped(pss(big, m, _SALT), 100), UNKNOWN),
        ("PS256, no salt", lambda m: pss(big, m, b""), UNKNOWN),
        ("PS256, salt of 20 bytes", lambda m: pss(big, m, _SALT[:20]), UNKNOWN),
        ("PS256, salt of 64 bytes", lambda m: pss(big, m, _SALT * 2), UNKNOWN),
        ("PS256, its leading zero left out", lambda m: _leading_zero(big, m)[1:], UNKNOWN),
        ("PS256, beginning with a zero", lambda m: _leading_zero(big, m), AUTHENTIC),
        ("PKCS #1 v1.5 under the kid of a PS256 key", lambda m: pkcs1(big, m), UNKNOWN),
    ]
    return [
        *(_case(n, _token(sign, alg="RS256", kid="rs-1"), e) for n, sign, e in rs),
        *(_case(n, _token(sign, alg="PS256", kid="ps-1"), e) for n, sign, e in ps),
    ]


def _leading_zero(big: RsaKey, message: bytes) -> bytes:
    """A signature that begins with a zero: the salt was found by trying."""
    signature = pss(big, message, sha256(b"salt 109").digest())
    if signature[0]:
        raise ValueError("the token is another one: try other salts")
    return signature


def _symmetric() -> list[dict[str, Any]]:
    """Key confusion, and keys that only the server has."""
    confused = _token(lambda m: hmac.digest(der(ED25519.public_key()), m, "sha256"), alg="HS256")
    published = {"alg": "HS256", "server_only": False}
    public = der(ED25519.public_key())
    as_secret = _token(lambda m: hmac.digest(public, m, "sha256"), alg="HS256", kid="hs-2")
    mac = _token(lambda m: hmac.digest(seed("hs256"), m, "sha256"), alg="HS256", kid="hs-1")
    return [
        _case("HS256, key of the server alone", mac, ASK),
        _case("HS256 with an EdDSA key's public half as the secret", confused, UNKNOWN),
        _case("HS256 key that is published", as_secret, UNKNOWN, keys=[key("hs-2", **published)]),
        _case(
            "EdDSA key marked server_only", _token(ED25519.sign), ASK, keys=[key(server_only=True)]
        ),
        _case("no alg that a key could have", _token(ED25519.sign, alg="none"), MALFORMED),
    ]


def _keys() -> list[dict[str, Any]]:
    """Which keys are used at all, and by which header."""
    small, good = rsa_key(1024), der(ED25519.public_key())
    k1 = ec.derive_private_key(int.from_bytes(seed("secp256k1"), "big") >> 1, ec.SECP256K1())
    by_anybody = _BASE + _ONE  # good for every text under a key of small order
    rows: list[tuple[str, str, dict[str, Any]]] = [
        ("RSA key of 1024 bits", "RS256", _published(small.public_key())),
        ("RSA key for ES256", "ES256", _published(rsa_key(2048).public_key())),
        ("secp256k1 key for ES256", "ES256", _published(k1.public_key())),
        ("P-256 key for EdDSA", "EdDSA", _published(P256.public_key())),
        ("key with a byte after it", "EdDSA", {"public_key": standard(good + b"\x00")}),
        ("key without its last byte", "EdDSA", {"public_key": standard(good[:-1])}),
        ("raw Ed25519 key", "EdDSA", {"public_key": standard(good[-32:])}),
        ("no public key", "EdDSA", {"public_key": ""}),
        ("Ed25519 key that is the identity", "EdDSA", _raw(_IDENTITY)),
        ("the same in an encoding that is not canonical", "EdDSA", _raw(_IDENTITY_NOT_CANONICAL)),
        ("Ed25519 key of order 8", "EdDSA", _raw(_ORDER_8)),
    ]
    signs: dict[str, Sign] = {
        "RSA key of 1024 bits": lambda m: pkcs1(small, m),
        "RSA key for ES256": es256,
        "secp256k1 key for ES256": lambda m: _raw_es256(k1, m),
        "Ed25519 key that is the identity": lambda _: by_anybody,
        "the same in an encoding that is not canonical": lambda _: by_anybody,
        "Ed25519 key of order 8": lambda _: by_anybody,
    }
    return [
        *(
            _case(
                name,
                _token(signs.get(name, ED25519.sign), alg=alg, kid="odd"),
                UNKNOWN,
                keys=[key("odd", alg=alg, **published)],
            )
            for name, alg, published in rows
        ),
        _case("kid that is not known", _token(ED25519.sign, kid="ed-2"), UNKNOWN),
        _case("kid in another case", _token(ED25519.sign, kid="ED-1"), UNKNOWN),
        _case(
            "kid of another EdDSA key",
            _token(ED25519.sign, kid="ed-3"),
            UNKNOWN,
            keys=[_ED, _other()],
        ),
        _case("no keys", _token(ED25519.sign), UNKNOWN, keys=[]),
        _case("alg of another key", _token(es256, alg="ES256"), UNKNOWN),
        _case("kid of a key for another alg", _token(ED25519.sign, kid="es-1"), UNKNOWN),
    ]


def _states() -> list[dict[str, Any]]:
    good, forged = _token(ED25519.sign), _token(lambda _: bytes(64))
    verifiable = ("PENDING", "ACTIVE", "RETIRING")
    gone = [entry(50, "KEY", "ed-1")]
    return [
        *(_case(f"key is {one}", good, AUTHENTIC, keys=[key(state=one)]) for one in verifiable),
        _case("key is RETIRED", good, UNKNOWN, keys=[key(state="RETIRED")]),
        _case("key in a state that is not known", good, UNKNOWN, keys=[key(state="UNSPECIFIED")]),
        _case("key is COMPROMISED", good, REVOKED, keys=[key(state="COMPROMISED")]),
        _case("forged, key is COMPROMISED", forged, REVOKED, keys=[key(state="COMPROMISED")]),
        _case("key is not listed, and revoked", forged, REVOKED, keys=[], entries=gone),
        _case("key is listed, and revoked", good, AUTHENTIC, entries=gone),
        _case(
            "key is not listed, and its tokens reissued",
            good,
            UNKNOWN,
            keys=[],
            entries=[entry(50, "KEY", "ed-1", effect="REISSUE")],
        ),
    ]


def _opaque() -> list[dict[str, Any]]:
    token = spell("acc", access())
    mine = key("0a0b0c0d", alg="HS256", public_key="", server_only=True)
    return [
        _case("opaque access token", token, ASK, keys=[mine]),
        _case("opaque access token of a key that is not known", token, UNKNOWN),
        _case(
            "opaque access token of a key that others have",
            token,
            UNKNOWN,
            keys=[key("0a0b0c0d")],
        ),
        _case(
            "opaque access token of a compromised key",
            token,
            REVOKED,
            keys=[{**mine, "state": "COMPROMISED"}],
        ),
    ]


def _other() -> dict[str, Any]:
    return key("ed-3", public_key=standard(_ED_PREFIX + sha256(b"a point, by chance").digest()))


def _published(public: Any) -> dict[str, Any]:
    return {"public_key": standard(der(public))}


def _raw(encoded: bytes) -> dict[str, Any]:
    return {"public_key": standard(_ED_PREFIX + encoded)}


def _r_and_s(message: bytes) -> tuple[bytes, bytes]:
    raw = _raw_es256(P256, message)
    return raw[:32], raw[32:]


def _raw_es256(private: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    encoded = private.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    r, s = decode_dss_signature(encoded)
    return _number(r) + _number(s)


def _number(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


def _plus_modulus(rsa: RsaKey, signature: bytes) -> bytes:
    number = int.from_bytes(signature, "big") + rsa.modulus
    return number.to_bytes(rsa.bits // 8 + 1, "big").removeprefix(b"\x00")
