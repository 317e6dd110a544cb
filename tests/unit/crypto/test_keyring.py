from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from tests.unit.crypto.builders import NOW, SECRETS, in_state, loaded, new_key, one_of_each
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.crypto.keyring import Keyring, MacKey
from token_service.adapters.crypto.signing_keys import SigningKey
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.keys.key import Key
from token_service.domain.kinds import KeyPurpose, KeyState
from tokenservice._decisions.signatures import load_public_key

SIGNING = KeyPurpose.SIGNING
MACS = (KeyPurpose.MINT, KeyPurpose.PEPPER, KeyPurpose.OPAQUE)
ALGORITHMS = ("EdDSA", "ES256", "RS256", "PS256", "HS256")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_generated_signing_key_can_be_loaded(algorithm: str) -> None:
    key = new_key(SIGNING, algorithm)
    keyring = loaded(key)
    assert len(key.kid) == 16
    assert key.secret_key_id == "one"
    assert (key.created_at, key.activates_at, key.retires_at) == (NOW, NOW, None)
    assert keyring.signer(algorithm).kid == key.kid
    [published] = keyring.public_keys()
    assert (published.kid, published.alg, published.state) == (key.kid, algorithm, KeyState.ACTIVE)
    if algorithm == "HS256":
        assert published.server_only
        assert published.public_key == b""
    else:
        assert not published.server_only
        load_public_key(algorithm, published.public_key)


@pytest.mark.parametrize("purpose", MACS)
def test_the_other_keys_are_derived_and_hold_nothing(purpose: KeyPurpose) -> None:
    key = new_key(purpose)
    assert len(key.kid) == 8
    assert key.sealed_private == key.public_key == b""
    active = loaded(key).active_mac_key(purpose)
    assert active.kid == key.kid
    assert active.key == SECRETS.mac_key("one", purpose, key.kid)


def test_new_keys_are_made_under_the_newest_secret() -> None:
    secrets = SecretKeys({"new": b"n" * 32, "one": b"1" * 32})
    key = Keyring(secrets).generate(KeyPurpose.MINT, "HS256", KeyState.ACTIVE, NOW, NOW)
    assert key.secret_key_id == "new"
    keyring = loaded(key, new_key(KeyPurpose.MINT), secrets=secrets)
    assert keyring.mac_key(KeyPurpose.MINT, new_key(KeyPurpose.MINT).kid) is not None


def test_algorithms_go_with_their_purpose() -> None:
    keyring = Keyring(SECRETS)
    for purpose, algorithm in ((SIGNING, "none"), (SIGNING, "RS384"), (KeyPurpose.MINT, "EdDSA")):
        with pytest.raises(ValueError, match=r"algorithm|HS256"):
            keyring.generate(purpose, algorithm, KeyState.ACTIVE, NOW, NOW)


def test_a_kid_is_never_given_twice() -> None:
    taken = new_key(KeyPurpose.MINT)
    draws = iter([bytes.fromhex(taken.kid), b"free"])
    keyring = Keyring(SECRETS, lambda _: next(draws))
    keyring.load([taken])
    made = keyring.generate(KeyPurpose.OPAQUE, "HS256", KeyState.ACTIVE, NOW, NOW)
    assert made.kid == b"free".hex()


def test_the_newest_active_key_signs() -> None:
    old, new = new_key(KeyPurpose.MINT, number=1), new_key(KeyPurpose.MINT, number=2)
    assert loaded(new, old).active_mac_key(KeyPurpose.MINT).kid == new.kid
    retired = loaded(in_state(new, KeyState.RETIRING), old)
    assert retired.active_mac_key(KeyPurpose.MINT).kid == old.kid


@pytest.mark.parametrize(
    ("state", "verifies", "signs", "public"),
    [
        (KeyState.PENDING, True, False, True),
        (KeyState.ACTIVE, True, True, True),
        (KeyState.RETIRING, True, False, True),
        (KeyState.RETIRED, False, False, False),
        (KeyState.COMPROMISED, False, False, True),
    ],
)
def test_what_a_state_allows(state: KeyState, *, verifies: bool, signs: bool, public: bool) -> None:
    keys = tuple(in_state(key, state) for key in one_of_each())
    keyring = loaded(*keys)
    signing, *macs = keys
    assert (keyring.signing_key(signing.kid) is not None) is verifies
    for key in macs:
        assert (keyring.mac_key(key.purpose, key.kid) is not None) is verifies
        assert keyring.is_compromised(key.purpose, key.kid) is (state is KeyState.COMPROMISED)
    if not signs:
        with pytest.raises(TokenServiceError) as caught:
            keyring.signer("EdDSA")
        assert caught.value.reason is Reason.KEY_STATE
        for key in macs:
            with pytest.raises(TokenServiceError):
                keyring.active_mac_key(key.purpose)
    kids = {key.kid for key in keyring.public_keys()}
    shared = {key.kid for key in keys if key.purpose in (SIGNING, KeyPurpose.OPAQUE)}
    assert kids == (shared if public else set())


def test_published_keys_hold_no_secret() -> None:
    keys = (*one_of_each(), new_key(SIGNING, "HS256"))
    published = {key.kid: key for key in loaded(*keys).public_keys()}
    assert {key.server_only for key in published.values()} == {True, False}
    for key in published.values():
        assert (key.public_key == b"") is key.server_only
    opaque = next(key for key in keys if key.purpose is KeyPurpose.OPAQUE)
    assert published[opaque.kid].alg == "HS256"
    # Whatever its record says: a validator would take it for a key to check with.
    [odd] = loaded(replace(opaque, public_key=b"odd")).public_keys()
    assert odd.public_key == b""


def test_purposes_do_not_mix() -> None:
    mint = new_key(KeyPurpose.MINT)
    keyring = loaded(mint)
    assert keyring.mac_key(KeyPurpose.OPAQUE, mint.kid) is None
    assert keyring.signing_key(mint.kid) is None
    assert not keyring.is_compromised(KeyPurpose.OPAQUE, mint.kid)


def without_secret(key: Key) -> Key:
    return replace(key, secret_key_id="gone")


def active_key(keyring: Keyring, purpose: KeyPurpose) -> SigningKey | MacKey:
    return keyring.signer("EdDSA") if purpose is SIGNING else keyring.active_mac_key(purpose)


def key_of(keyring: Keyring, key: Key) -> SigningKey | MacKey | None:
    if key.purpose is SIGNING:
        return keyring.signing_key(key.kid)
    return keyring.mac_key(key.purpose, key.kid)


@pytest.mark.parametrize("place", range(4))
def test_a_node_that_lacks_a_secret_goes_on_with_what_it_has(place: int) -> None:
    keys = one_of_each()
    newer = tuple(without_secret(new_key(k.purpose, k.algorithm, number=5)) for k in keys)
    lacking = newer[place]
    keyring = loaded(*keys, lacking)
    with pytest.raises(ValueError, match="'gone' is missing"):
        keyring.require_all()
    for key, other in zip(keys, newer, strict=True):
        if other is lacking:
            assert_stale(partial(active_key, keyring, key.purpose))
            assert_stale(partial(key_of, keyring, other))
        else:
            assert active_key(keyring, key.purpose).kid == key.kid
    assert lacking.kid not in {key.kid for key in keyring.public_keys()}
    keyring.load([*keys, replace(lacking, secret_key_id="one")])
    keyring.require_all()


@pytest.mark.parametrize(
    ("state", "all_known"),
    [(KeyState.PENDING, True), (KeyState.ACTIVE, False), (KeyState.RETIRING, False)],
)
def test_what_is_sought_under_every_pepper_may_be_under_one_that_is_lacking(
    state: KeyState, all_known: bool
) -> None:
    held, purpose = new_key(KeyPurpose.PEPPER), KeyPurpose.PEPPER
    keyring = loaded(held, without_secret(new_key(purpose, state=state, number=5)))
    if all_known:
        assert [key.kid for key in keyring.mac_keys(purpose)] == [held.kid]
    else:
        assert_stale(lambda: keyring.mac_keys(purpose))


def test_a_public_half_is_not_believed_without_its_secret() -> None:
    """Whoever can write to the database could make one up."""
    foreign = without_secret(new_key(SIGNING, "EdDSA"))
    assert loaded(foreign).public_keys() == ()


def assert_stale(ask: Callable[[], object]) -> None:
    with pytest.raises(TokenServiceError) as caught:
        ask()
    assert caught.value.reason is Reason.TRUST_STALE
    assert "gone" not in str(caught.value)


def test_keys_that_verify_nothing_need_no_secret() -> None:
    dead = [
        replace(key, secret_key_id="gone", state=state)
        for key in one_of_each()
        for state in (KeyState.RETIRED, KeyState.COMPROMISED)
    ]
    assert loaded(*dead).is_compromised(KeyPurpose.MINT, new_key(KeyPurpose.MINT).kid)


def test_a_tampered_record_is_refused_whole() -> None:
    good, other = new_key(SIGNING, "EdDSA"), new_key(SIGNING, "EdDSA", number=1)
    flipped = good.sealed_private[:-1] + bytes([good.sealed_private[-1] ^ 1])
    for bad in (
        replace(good, sealed_private=flipped),
        replace(good, sealed_private=other.sealed_private),
        replace(good, sealed_private=b""),
        replace(good, public_key=other.public_key),
        replace(good, public_key=b""),
        replace(good, algorithm="ES256"),
        replace(good, algorithm="HS256"),
        replace(good, algorithm="none"),
    ):
        keyring = Keyring(SECRETS)
        with pytest.raises(ValueError, match=good.kid):
            keyring.load([other, bad])
        assert keyring.public_keys() == ()


def test_a_tampered_record_is_noticed_on_reload() -> None:
    good, other = new_key(SIGNING, "EdDSA"), new_key(SIGNING, "EdDSA", number=1)
    keyring = loaded(good)
    with pytest.raises(ValueError, match=good.kid):
        keyring.load([replace(good, public_key=other.public_key)])


def test_mac_keys_of_another_algorithm_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown algorithm"):
        loaded(replace(new_key(KeyPurpose.MINT), algorithm="HS512"))


def test_a_reload_keeps_what_did_not_change() -> None:
    signing, mint, *_ = one_of_each()
    keyring = loaded(signing, mint)
    before = keyring.signer("EdDSA")
    keyring.load([in_state(signing, KeyState.RETIRING), mint])
    assert keyring.signing_key(signing.kid) is before


def test_nothing_secret_is_shown() -> None:
    keyring = loaded(*one_of_each())
    mint = keyring.active_mac_key(KeyPurpose.MINT)
    assert repr(mint) == f"MacKey(kid={mint.kid!r})"
    assert repr(keyring.signer("EdDSA")).startswith("SigningKey(kid=")
    assert repr(one_of_each()[0].sealed_private) not in repr(one_of_each()[0])
