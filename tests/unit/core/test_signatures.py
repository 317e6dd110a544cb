"""Signature checks, and each behaviour of PyJWT and cryptography that they lean on."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    padding,
    rsa,
    x448,
    x25519,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, HMACAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from tests.support.tokens import der
from tests.unit.core.signers import (
    ALGORITHMS,
    ASYMMETRIC,
    SECRET,
    es256_signature,
    every_algorithm,
    signers,
)
from tokenservice._decisions.signatures import KeyRefused, SignatureVerifier, load_public_key

MESSAGE = b"header.payload"

# --- one key --------------------------------------------------------------------------------


@every_algorithm
def test_a_right_signature_is_right(alg: str) -> None:
    signer = signers()[alg]
    verifier = SignatureVerifier(alg, signer.key)
    assert verifier.alg == alg
    assert verifier.verify(MESSAGE, signer.sign(MESSAGE)) is True


@every_algorithm
def test_a_wrong_signature_is_false_and_never_an_exception(alg: str) -> None:
    signer = signers()[alg]
    verifier = SignatureVerifier(alg, signer.key)
    right = signer.sign(MESSAGE)
    wrong = [
        b"",
        b"\x00",
        right[:-1],
        right[1:],
        right + b"\x00",
        b"\x00" + right,
        bytes(len(right)),
        b"\xff" * len(right),
        right[::-1],
        right * 2,
        signer.sign(MESSAGE + b"."),
    ]
    for signature in wrong:
        assert verifier.verify(MESSAGE, signature) is False
    assert verifier.verify(b"", right) is False
    assert verifier.verify(MESSAGE + b" ", right) is False


@pytest.mark.parametrize("alg", ["RS256", "PS256"])
def test_an_rsa_signature_keeps_its_leading_zero(alg: str) -> None:
    """OpenSSL takes it without; RFC 8017, section 8, wants as many bytes as the modulus has."""
    signer = signers()[alg]
    verifier = SignatureVerifier(alg, signer.key)
    messages = (number.to_bytes(4, "big") for number in count())
    signed = ((message, signer.sign(message)) for message in messages)
    message, right = next((m, s) for m, s in signed if s[0] == 0)
    assert verifier.verify(message, right) is True
    assert verifier.verify(message, right[1:]) is False


@given(st.sampled_from(ALGORITHMS), st.data())
def test_no_bit_of_a_signature_can_be_changed(alg: str, data: st.DataObject) -> None:
    signer = signers()[alg]
    signature = bytearray(signer.sign(MESSAGE))
    bit = data.draw(st.integers(0, len(signature) * 8 - 1))
    signature[bit // 8] ^= 1 << bit % 8
    assert not SignatureVerifier(alg, signer.key).verify(MESSAGE, bytes(signature))


@given(st.sampled_from(ALGORITHMS), st.binary(max_size=300))
def test_random_signatures_are_false(alg: str, signature: bytes) -> None:
    assert not SignatureVerifier(alg, signers()[alg].key).verify(MESSAGE, signature)


def test_a_key_fits_its_own_algorithm_only() -> None:
    for alg in (*ALGORITHMS, "none", "", "ES384", "HS512", "eddsa"):
        for signer in signers().values():
            rsa_pair = {alg, signer.alg} <= {"RS256", "PS256"}
            if alg == signer.alg or rsa_pair:
                SignatureVerifier(alg, signer.key)
            else:
                with pytest.raises(KeyRefused):
                    SignatureVerifier(alg, signer.key)


def test_rsa_paddings_are_not_interchangeable() -> None:
    for alg, other in (("RS256", "PS256"), ("PS256", "RS256")):
        signature = signers()[other].sign(MESSAGE)
        assert not SignatureVerifier(alg, signers()[alg].key).verify(MESSAGE, signature)


@pytest.mark.parametrize("salt_length", [0, 20, 222])
def test_a_pss_salt_has_the_length_of_the_hash(salt_length: int) -> None:
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=salt_length)
    signature = private.sign(MESSAGE, pss, hashes.SHA256())
    assert not SignatureVerifier("PS256", private.public_key()).verify(MESSAGE, signature)


@pytest.mark.parametrize("alg", ["RS256", "PS256"])
@pytest.mark.parametrize(("bits", "fits"), [(1024, False), (2047, False), (2048, True)])
def test_rsa_keys_have_at_least_2048_bits(alg: str, bits: int, fits: bool) -> None:
    public = rsa.generate_private_key(public_exponent=65537, key_size=bits).public_key()
    _fits(alg, public, fits)


@pytest.mark.parametrize(("bits", "fits"), [(4096, True), (4097, False)])
def test_rsa_keys_have_at_most_4096_bits(bits: int, fits: bool) -> None:
    # Numbers of the right size do: only the size of the modulus is looked at.
    public = rsa.RSAPublicNumbers(65537, (1 << bits - 1) | 1).public_key()
    _fits("RS256", public, fits)


@pytest.mark.parametrize("curve", [ec.SECP384R1, ec.SECP521R1, ec.SECP256K1, ec.SECP224R1])
def test_es256_is_for_p256_only(curve: Callable[[], ec.EllipticCurve]) -> None:
    _fits("ES256", ec.generate_private_key(curve()).public_key(), fits=False)


@pytest.mark.parametrize(
    "make",
    [
        x25519.X25519PrivateKey.generate,
        x448.X448PrivateKey.generate,
        ed448.Ed448PrivateKey.generate,
        lambda: dsa.generate_private_key(key_size=2048),
    ],
    ids=["X25519", "X448", "Ed448", "DSA"],
)
@pytest.mark.parametrize("alg", ALGORITHMS)
def test_other_key_types_fit_nothing(make: Callable[[], Any], alg: str) -> None:
    _fits(alg, make().public_key(), fits=False)


@pytest.mark.parametrize("length", [0, 1, 31])
def test_hs256_secrets_have_at_least_32_bytes(length: int) -> None:
    with pytest.raises(KeyRefused):
        SignatureVerifier("HS256", SECRET[:length])


def test_private_keys_are_not_taken_for_checking() -> None:
    for private in (
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256R1()),
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
    ):
        for alg in ALGORITHMS:
            with pytest.raises(KeyRefused):
                SignatureVerifier(alg, private)  # type: ignore[arg-type]


@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_public_keys_are_read_as_der_only(alg: str) -> None:
    public = signers()[alg].key
    encoded = der(public)
    assert load_public_key(alg, encoded) == public
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for other in (b"", pem, encoded[:-1], encoded + b"\x00", b"\x00" + encoded, encoded * 2):
        with pytest.raises(KeyRefused):
            load_public_key(alg, other)


@given(st.sampled_from(ALGORITHMS), st.binary(max_size=100))
def test_random_bytes_are_no_key(alg: str, data: bytes) -> None:
    with pytest.raises(KeyRefused):
        load_public_key(alg, data)


def test_a_refusal_says_nothing_of_the_key() -> None:
    secret = b"0123456789-not-long-enough"
    with pytest.raises(KeyRefused) as refused:
        SignatureVerifier("HS256", secret)
    assert secret.decode() not in str(refused.value)
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def _fits(alg: str, public: Any, fits: bool) -> None:
    encoded = der(public)
    if fits:
        SignatureVerifier(alg, load_public_key(alg, encoded))
        return
    with pytest.raises(KeyRefused):
        load_public_key(alg, encoded)
    with pytest.raises(KeyRefused):
        SignatureVerifier(alg, public)


# --- what PyJWT does, which the code above relies on ----------------------------------------


@every_algorithm
def test_pyjwt_agrees_with_cryptography(alg: str) -> None:
    signer = signers()[alg]
    prepared = signer.pyjwt.prepare_key(signer.key)
    assert signer.pyjwt.verify(MESSAGE, prepared, signer.sign(MESSAGE)) is True
    assert signer.pyjwt.verify(MESSAGE, prepared, b"") is False


def test_pyjwt_takes_key_objects_as_they_are() -> None:
    for alg in ASYMMETRIC:
        signer = signers()[alg]
        assert signer.pyjwt.prepare_key(signer.key) is signer.key


def test_pyjwt_reads_es256_signatures_as_r_and_s_of_32_bytes() -> None:
    signer = signers()["ES256"]
    private = ec.generate_private_key(ec.SECP256R1())
    der_signature = private.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    raw = es256_signature(private, MESSAGE)
    public = private.public_key()
    assert signer.pyjwt.verify(MESSAGE, public, raw) is True
    for other in (der_signature, raw[:63], raw + b"\x00", raw[:32], b""):
        assert signer.pyjwt.verify(MESSAGE, public, other) is False
    for r, s in ((raw[:32], bytes(32)), (bytes(32), raw[32:]), (bytes(32), bytes(32))):
        assert signer.pyjwt.verify(MESSAGE, public, r + s) is False


def test_pyjwt_refuses_another_curve_fores256_signature() -> None:
    public = ec.generate_private_key(ec.SECP256K1()).public_key()
    with pytest.raises(InvalidKeyError):
        ECAlgorithm(hashes.SHA256, ec.SECP256R1).prepare_key(public)


def test_pyjwt_refuses_key_agreement_keys_for_eddsa_but_takes_ed448() -> None:
    public: Any = x25519.X25519PrivateKey.generate().public_key()
    with pytest.raises(InvalidKeyError):
        OKPAlgorithm().prepare_key(public)
    # Why the type is checked here besides.
    accepted = ed448.Ed448PrivateKey.generate().public_key()
    assert OKPAlgorithm().prepare_key(accepted) is accepted


def test_pyjwt_refuses_published_keys_as_hs256_secrets_but_takes_short_ones() -> None:
    algorithm = HMACAlgorithm(HMACAlgorithm.SHA256)
    public = signers()["RS256"].key
    encodings = [der(public), public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)]
    for encoded in encodings:
        with pytest.raises(InvalidKeyError):
            algorithm.prepare_key(encoded)
        with pytest.raises(KeyRefused):
            SignatureVerifier("HS256", encoded)
    with pytest.raises(InvalidKeyError):
        algorithm.prepare_key(b"")
    # Why the length is checked here besides.
    assert algorithm.prepare_key(b"short") == b"short"


def test_pyjwt_takes_small_rsa_keys() -> None:
    # Why the size is checked here besides.
    public = rsa.RSAPublicNumbers(65537, (1 << 1023) | 1).public_key()
    assert RSAAlgorithm(hashes.SHA256).prepare_key(public) is public
