import hmac
from hmac import compare_digest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.crypto.builders import NOW, access, in_state, loaded, new_key, one_of_each
from token_service.adapters.crypto.access_tokens import AccessTokenFactory
from token_service.adapters.crypto.client_secrets import PepperedSecrets
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.crypto.keyring import Keyring
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import KeyPurpose, KeyState
from tokenservice.core import MalformedToken, format_opaque, parse_opaque

PEPPER = new_key(KeyPurpose.PEPPER)
KEYRING = loaded(*one_of_each())
SECRETS = PepperedSecrets(KEYRING)


@pytest.mark.parametrize("code", ["cs", "rs"])
def test_a_secret_matches_its_hash(code: str) -> None:
    secret, hashed, pepper = SECRETS.make(code, b"request 1")
    assert secret.startswith(f"tsk_{code}_")
    assert len(parse_opaque(secret).payload) == 32
    assert pepper == SECRETS.active_pepper() == PEPPER.kid
    presented = SECRETS.hash(code, secret, pepper)
    assert presented is not None
    assert compare_digest(presented, hashed)


def test_the_same_request_gives_the_same_secret_and_another_does_not() -> None:
    made = [SECRETS.make(code, context) for code in ("cs", "rs") for context in (b"1", b"2")]
    again = [SECRETS.make(code, context) for code in ("cs", "rs") for context in (b"1", b"2")]
    assert made == again
    payloads = {parse_opaque(secret).payload for secret, _, _ in made}
    hashes = {hashed for _, hashed, _ in made}
    assert len(payloads | hashes) == 8


def test_another_pepper_gives_another_secret() -> None:
    newer = new_key(KeyPurpose.PEPPER, number=1)
    rotated = PepperedSecrets(loaded(in_state(PEPPER, KeyState.RETIRING), newer))
    secret, hashed, _ = SECRETS.make("cs", b"1")
    assert rotated.make("cs", b"1")[:2] != (secret, hashed)
    # An old hash still matches, and the secret moves to the newer pepper.
    assert rotated.hash("cs", secret, PEPPER.kid) == hashed
    moved = rotated.hash("cs", secret, rotated.active_pepper())
    assert moved not in (None, hashed)


def test_a_stored_hash_is_no_secret() -> None:
    _, hashed, pepper = SECRETS.make("cs", b"1")
    presented = SECRETS.hash("cs", format_opaque("cs", hashed), pepper)
    assert presented is not None
    assert not compare_digest(presented, hashed)


def test_kinds_do_not_mix() -> None:
    secret, hashed, pepper = SECRETS.make("cs", b"1")
    with pytest.raises(MalformedToken):
        SECRETS.hash("rs", secret, pepper)
    relabelled = format_opaque("rs", parse_opaque(secret).payload)
    assert SECRETS.hash("rs", relabelled, pepper) != hashed
    opaque = AccessTokenFactory(KEYRING, "https://tokens.example").seal_opaque(access())
    for code in ("cs", "acc", "web"):
        with pytest.raises(MalformedToken):
            SECRETS.hash(code, opaque, pepper)
    with pytest.raises(ValueError, match="not a kind"):
        SECRETS.make("web", b"1")


@given(st.text() | st.text().map(lambda text: f"tsk_cs_{text}"))
def test_garbage_is_malformed_before_any_pepper_is_looked_at(text: str) -> None:
    with pytest.raises(MalformedToken):
        SECRETS.hash("cs", text, "no such pepper")


@pytest.mark.parametrize("state", [KeyState.RETIRED, KeyState.COMPROMISED])
def test_a_dead_pepper_matches_nothing(state: KeyState) -> None:
    secret, _, pepper = SECRETS.make("cs", b"1")
    dead = PepperedSecrets(loaded(in_state(PEPPER, state)))
    assert dead.hash("cs", secret, pepper) is None
    for use in (dead.active_pepper, lambda: dead.make("cs", b"1")):
        call: Any = use
        with pytest.raises(TokenServiceError) as caught:
            call()
        assert caught.value.reason is Reason.KEY_STATE


def test_buckets_are_distinct_and_those_of_every_node_with_the_pepper() -> None:
    elsewhere = PepperedSecrets(loaded(PEPPER))
    assert elsewhere.bucket("login", "ada") == SECRETS.bucket("login", "ada")
    buckets = {
        SECRETS.bucket(*parts)
        for parts in [("ab", "c"), ("a", "bc"), ("abc",), ("abc", ""), ("", "abc"), ()]
    }
    assert len(buckets) == 6
    rotated = PepperedSecrets(loaded(PEPPER, new_key(KeyPurpose.PEPPER, number=2)))
    assert rotated.bucket("abc") == SECRETS.bucket("abc")
    moved = SecretKeys({"two": b"2" * 32, "one": b"1" * 32})
    assert PepperedSecrets(loaded(PEPPER, secrets=moved)).bucket("abc") == SECRETS.bucket("abc")
    newer = Keyring(moved).generate(KeyPurpose.PEPPER, "HS256", KeyState.ACTIVE, NOW, NOW)
    other = PepperedSecrets(loaded(newer, secrets=moved))
    assert other.bucket("abc") != SECRETS.bucket("abc")


def test_the_hash_is_pinned() -> None:
    """Changing it would lock out every client."""
    secret = format_opaque("cs", bytes(32))
    keyring = loaded(PEPPER)
    key = keyring.active_mac_key(KeyPurpose.PEPPER).key
    message = b"\0\0\0\4hash\0\0\0\2cs\0\0\0\x20" + bytes(32)
    assert SECRETS.hash("cs", secret, PEPPER.kid) == hmac.digest(key, message, "sha256")
