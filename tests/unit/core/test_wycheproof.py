"""The public vectors of C2SP/wycheproof, where `WYCHEPROOF_VECTORS` says where they are."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tokenservice._decisions.signatures import KeyRefused, SignatureVerifier, load_public_key
from tokenservice.core import MalformedToken
from tokenservice.core.tokens.encoding import decode_base64url
from tokenservice.core.tokens.jose import ALGORITHMS
from tokenservice.core.tokens.strict_json import parse_object

FOLDER = Path(os.environ.get("WYCHEPROOF_VECTORS", "nowhere"))

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="WYCHEPROOF_VECTORS is not the folder of Wycheproof's vectors"
)

MISTAKEN = {367, 370, 372, 373}
"""Two that are called invalid are, letter by letter, number 357, which is valid; two that are
called valid have a question mark among their base64url."""

ABOUT_THE_KEYS_FORMAT = {"rsa_encryption", "ec_key_for_encryption"}
"""Groups about `use` and `key_ops` of a JSON Web Key; ours are DER, for one algorithm."""


@pytest.mark.parametrize(
    ("alg", "name"),
    [("EdDSA", "ed25519_test.json"), ("ES256", "ecdsa_secp256r1_sha256_p1363_test.json")],
)
def test_signatures(alg: str, name: str) -> None:
    count = 0
    for group, case in cases(name):
        try:
            key = load_public_key(alg, bytes.fromhex(group["publicKeyDer"]))
            verifier = SignatureVerifier(alg, key)
        except KeyRefused:
            assert case["result"] == "invalid", case
            continue
        message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
        assert verifier.verify(message, signature) is (case["result"] == "valid"), case
        count += 1
    assert count > 100


def test_web_signatures() -> None:
    """Through our base64url, our reading of the header, and our use of keys."""
    good = bad = 0
    for group, case in cases("json_web_signature_test.json"):
        jwk: dict[str, Any] = group["public"] if "public" in group else group["private"]
        if group["comment"] in ABOUT_THE_KEYS_FORMAT or jwk.get("alg") not in ALGORITHMS:
            continue  # nothing that could be a key of ours
        if case["tcId"] in MISTAKEN:
            continue
        accepted = is_accepted(case["jws"], jwk)
        assert accepted is (case["result"] == "valid" and says(case["jws"]) == jwk["alg"]), case
        good, bad = good + accepted, bad + (not accepted)
    assert good > 10
    assert bad > 300


def cases(name: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for group in json.loads((FOLDER / name).read_text())["testGroups"]:
        for case in group["tests"]:
            yield group, case


def says(jws: str) -> object:
    """The algorithm in the header of a valid signature; a key is for its own one alone here."""
    return parse_object(decode_base64url(jws.partition(".")[0]))["alg"]


def is_accepted(jws: Any, jwk: dict[str, Any]) -> bool:
    if not isinstance(jws, str) or jws.count(".") != 2:
        return False
    head, body, signature = jws.split(".")
    try:
        members = parse_object(decode_base64url(head))
        decode_base64url(body)
        raw = decode_base64url(signature)
    except MalformedToken:
        return False
    if not members.keys() <= {"alg", "kid", "typ"} or members.get("alg") != jwk["alg"]:
        return False
    return verifier_of(jwk).verify(f"{head}.{body}".encode(), raw)


def verifier_of(jwk: dict[str, Any]) -> SignatureVerifier:
    alg = jwk["alg"]
    if alg == "HS256":
        return SignatureVerifier(alg, decode_base64url(jwk["k"]))
    key: Any = (ECAlgorithm if alg == "ES256" else RSAAlgorithm).from_jwk(jwk)
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SignatureVerifier(alg, load_public_key(alg, encoded))
