import hashlib
import hmac
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tokens import (
    ISSUER,
    KID,
    b64,
    claims,
    der,
    header,
    jwt,
    key,
    rolling_claims,
    sign,
)
from tests.unit.core.signers import ALGORITHMS, SECRET, Signer, every_algorithm, signers
from tokenservice._decisions.signatures import Keyring
from tokenservice.core import KeyState, ParsedJwt, TokenError, TrustKey, parse_jwt


def _token(signer: Signer, **head: Any) -> str:
    unsigned = jwt(header(**{"alg": signer.alg, **head}), claims(), b"").rstrip(".")
    return f"{unsigned}.{b64(signer.sign(unsigned.encode('ascii')))}"


def _parsed(signer: Signer, **head: Any) -> ParsedJwt:
    return parse_jwt(_token(signer, **head), ISSUER)


def _published(signer: Signer) -> TrustKey:
    if signer.alg == "HS256":
        return key(alg="HS256", server_only=True)
    return key(alg=signer.alg, public_key=der(signer.key))


@every_algorithm
def test_a_token_checks_with_its_key(alg: str) -> None:
    signer = signers()[alg]
    ring = Keyring({KID: SECRET})
    keys = {KID: _published(signer)}
    for _ in range(2):
        assert ring.check(_parsed(signer), keys) is True


def test_an_unknown_kid_does_not_check() -> None:
    signer = signers()["EdDSA"]
    ring = Keyring()
    keys = {KID: _published(signer)}
    assert not ring.check(_parsed(signer, kid="fedcba9876543210"), keys)
    assert ring.check(_parsed(signer), keys)
    assert not ring.check(_parsed(signer), {}), "the key is gone though it was loaded once"


def test_the_header_cannot_choose_the_algorithm() -> None:
    for alg in ALGORITHMS:
        ring = Keyring({KID: SECRET})
        keys = {KID: _published(signers()[alg])}
        for claimed in ALGORITHMS:
            if claimed != alg:
                assert not ring.check(_parsed(signers()[alg], alg=claimed), keys)
                assert not ring.check(_parsed(signers()[claimed]), keys)


def test_a_public_key_is_never_an_hmac_secret() -> None:
    public = der(signers()["EdDSA"].key)
    forged = replace(
        signers()["HS256"], key=public, sign=lambda m: hmac.digest(public, m, hashlib.sha256)
    )
    parsed = _parsed(forged)
    for published in (
        key(alg="EdDSA", public_key=public),
        key(alg="HS256", public_key=public),
        key(alg="HS256", public_key=public, server_only=True),
    ):
        assert not Keyring().check(parsed, {KID: published})
        assert not Keyring({KID: public}).check(parsed, {KID: published})


def test_an_hs256_key_is_for_servers_only() -> None:
    parsed = _parsed(signers()["HS256"])
    assert not Keyring().check(parsed, {KID: key(alg="HS256", server_only=True)})
    assert not Keyring({KID: SECRET}).check(parsed, {KID: key(alg="HS256")})
    assert not Keyring({KID: SECRET[:31]}).check(parsed, {KID: key(alg="HS256", server_only=True)})


def test_a_secret_may_arrive_after_its_key() -> None:
    secrets: dict[str, bytes] = {}
    ring = Keyring(secrets)
    parsed = _parsed(signers()["HS256"])
    keys = {KID: key(alg="HS256", server_only=True)}
    assert not ring.check(parsed, keys)
    secrets[KID] = SECRET
    assert ring.check(parsed, keys)


@pytest.mark.parametrize("public", [b"", b"\x00", b"junk"])
def test_a_key_that_cannot_be_read_checks_nothing(public: bytes) -> None:
    signer = signers()["EdDSA"]
    ring = Keyring()
    for alg in (*ALGORITHMS, "OPAQUE"):
        assert not ring.check(_parsed(signer), {KID: key(alg=alg, public_key=public)})


def test_a_kid_with_another_key_is_loaded_anew() -> None:
    signer = signers()["EdDSA"]
    other = ed25519.Ed25519PrivateKey.generate()
    ring = Keyring()
    assert ring.check(_parsed(signer), {KID: _published(signer)})
    replaced = {KID: key(public_key=der(other.public_key()))}
    assert not ring.check(_parsed(signer), replaced)
    assert ring.check(parse_jwt(sign(other, header(), claims()), ISSUER), replaced)


def test_equal_keys_of_a_new_snapshot_are_not_loaded_again() -> None:
    signer = signers()["EdDSA"]
    ring = Keyring()
    ring.check(_parsed(signer), {KID: _published(signer)})
    before = ring._loaded[KID][1]
    assert ring.check(_parsed(signer), {KID: _published(signer)})
    assert ring._loaded[KID][1] is before


def test_keys_that_are_gone_are_let_go() -> None:
    signer = signers()["EdDSA"]
    ring = Keyring()
    for i in range(20):
        kid = f"{i:016x}"
        published = key(kid, public_key=der(signer.key))
        assert ring.check(_parsed(signer, kid=kid), {kid: published})
    assert len(ring._loaded) == 1


def test_the_keyring_leaves_the_state_of_a_key_to_the_verdict() -> None:
    signer = signers()["EdDSA"]
    retired = key(public_key=der(signer.key), state=KeyState.RETIRED)
    assert Keyring().check(_parsed(signer), {KID: retired})


@given(st.data())
def test_no_character_of_a_signed_token_can_be_changed(data: st.DataObject) -> None:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(SECRET)
    token = sign(private, header(typ="rolling+jwt"), rolling_claims())
    keys = {KID: key(public_key=der(private.public_key()))}
    ring = Keyring()
    assert ring.check(parse_jwt(token, ISSUER), keys)

    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(
        st.one_of(st.sampled_from("AZaz09-_.=+/ \n"), st.characters()).filter(
            lambda c: c != token[at]
        )
    )
    for changed in (token[:at] + other + token[at + 1 :], token[:at] + other + token[at:]):
        try:
            parsed = parse_jwt(changed, ISSUER)
        except TokenError:
            continue
        assert not ring.check(parsed, keys)
