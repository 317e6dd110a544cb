import traceback

import pytest

from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.domain.kinds import KeyPurpose
from tokenservice.core.tokens.encoding import encode_base64url

A = encode_base64url(b"a" * 32)
B = encode_base64url(b"b" * 48)


def test_reads_entries_separated_by_commas_or_newlines_newest_first() -> None:
    secrets = SecretKeys.parse(f"\n new:{A} ,\r\n\n2026.old:{B}\n")
    assert secrets.ids == ("new", "2026.old")
    assert secrets.newest_id == "new"


def test_padding_is_forgiven() -> None:
    assert SecretKeys.parse(f"a:{A}=").cache_keys() == SecretKeys.parse(f"a:{A}").cache_keys()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no secret is configured"),
        (" ,\n", "no secret is configured"),
        (f"a:{A},a:{B}", "'a' is used twice"),
        (f"a:{A[:40]}", "'a' has 30 bytes, at least 32"),
        ("a:", "'a' has 0 bytes"),
        (f"a:{A[:-1]}!", "'a' is not base64url"),
        (f"a:{A[:20]} {A[20:]}", "'a' is not base64url"),
        (f"a:{A},{B}", "entry 2 is not"),
        (f"{A}:a", "entry 1 is not"),
        (f":{A}", "entry 1 is not"),
        (f"..:{A}", "entry 1 is not"),
        (f"a:b:{A}", "'a' is not base64url"),
    ],
)
def test_unusable_text_is_refused_and_never_shown(text: str, says: str) -> None:
    with pytest.raises(ValueError, match="TOKEN_SERVICE_SECRET_KEYS") as caught:
        SecretKeys.parse(text)
    assert says in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value, chain=True))
    assert not any(secret in shown for secret in (A[:20], B[:20]))


def test_what_is_generated_can_be_read_and_differs_each_time() -> None:
    one, other = SecretKeys.generate_text(), SecretKeys.generate_text()
    assert one != other
    assert SecretKeys.parse(f"{one}\n{other}").ids == (
        one.partition(":")[0],
        other.partition(":")[0],
    )


def test_the_representation_shows_ids_only() -> None:
    secrets = SecretKeys.parse(f"a:{A}")
    assert repr(secrets) == "SecretKeys(ids=('a',))"


def test_every_use_has_a_key_of_its_own() -> None:
    secrets = SecretKeys.parse(f"a:{A},b:{B}")
    macs = [
        secrets.mac_key(secret, purpose, kid)
        for secret in ("a", "b")
        for purpose in (KeyPurpose.MINT, KeyPurpose.PEPPER, KeyPurpose.OPAQUE)
        for kid in ("00000001", "00000002")
    ]
    others = [secrets.key_encryption_key(secret) for secret in ("a", "b")]
    keys = [*macs, *others, *secrets.cache_keys(), secrets.limiter_key("a")]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}


def test_derivation_is_pinned() -> None:
    """Changing it would lock out every stored key."""
    secrets = SecretKeys({"a": b"a" * 32})
    mint = secrets.mac_key("a", KeyPurpose.MINT, "00c0ffee")
    assert mint.hex() == "949e72f20f923c33cdedccf449de6b20900d32b0d4d70aa8f5eda6f0f6e61f89"
    assert (
        secrets.key_encryption_key("a").hex()
        == "82598bf0dba16c3025b24589c760e9dcb29b311cba91c1d3d5da824bfd24b434"
    )
    assert (
        secrets.cache_keys()[0].hex()
        == "b063fa00a8450f443e0069e8a29665b990c7ef2bebebe7bf01e8a4b5ceaab257"
    )
    assert (
        secrets.limiter_key("a").hex()
        == "4ddcd59220d79d889fea505bab56b244a64ec26f2f5e9a26b25c144df1cc04e4"
    )


def test_cached_data_are_made_with_the_newest_secret_and_known_under_each() -> None:
    alone, joined = SecretKeys.parse(f"b:{B}"), SecretKeys.parse(f"a:{A},b:{B}")
    moved = SecretKeys.parse(f"b:{B},a:{A}")
    assert joined.cache_keys() == moved.cache_keys()[::-1]
    assert alone.cache_keys() == joined.cache_keys()[1:]


def test_a_missing_secret_is_named() -> None:
    secrets = SecretKeys.parse(f"a:{A}")
    with pytest.raises(ValueError, match="the secret 'gone' is missing"):
        secrets.mac_key("gone", KeyPurpose.MINT, "00000001")
    with pytest.raises(ValueError, match="the secret 'gone' is missing"):
        secrets.key_encryption_key("gone")


def test_signing_keys_are_not_derived() -> None:
    with pytest.raises(ValueError, match="SIGNING"):
        SecretKeys.parse(f"a:{A}").mac_key("a", KeyPurpose.SIGNING, "00000001")
