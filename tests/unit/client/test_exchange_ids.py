"""Ids of exchanges and pauses between attempts."""

import hmac
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenservice import (
    AccessTokenCredentials,
    ClientCertificate,
    ClientSecret,
    ClientSecretFile,
    DerivedExchangeId,
    random_exchange_id,
)
from tokenservice._backoff import Backoff
from tokenservice._sessions.exchange_ids import usual_exchange_ids

KEY = bytes(range(32))


def test_random_ids_differ() -> None:
    ids = {random_exchange_id("token") for _ in range(100)}
    assert len(ids) == 100
    assert {len(one) for one in ids} == {16}


@given(st.text(), st.text())
def test_derived_ids_follow_the_token(one: str, other: str) -> None:
    derive, again = DerivedExchangeId(KEY), DerivedExchangeId(bytes(KEY))
    assert derive(one) == again(one)
    assert len(derive(one)) == 16
    assert (derive(one) == derive(other)) is (one == other)


def test_another_key_gives_other_ids_and_shows_nothing() -> None:
    assert DerivedExchangeId(KEY)("token") != DerivedExchangeId(KEY[::-1])("token")
    assert DerivedExchangeId(KEY)("token").hex() == "799ef35acf21da6109953721bac8e63f"


def test_a_client_secret_gives_the_same_ids_everywhere() -> None:
    """HKDF-SHA256 without salt (RFC 5869), worked out by hand."""
    ids = usual_exchange_ids(ClientSecret("shop", "s3cret"))
    extracted = hmac.digest(bytes(32), b"s3cret", "sha256")
    info = b"tokenservice client key v1\0exchange id\0shop"
    key = hmac.digest(extracted, info + b"\x01", "sha256")
    assert ids("token") == DerivedExchangeId(key)("token")
    for other in (ClientSecret("shop", "another"), ClientSecret("other", "s3cret")):
        assert usual_exchange_ids(other)("token") != ids("token")
    assert "s3cret" not in repr(ids)


def test_without_a_secret_they_are_random() -> None:
    assert usual_exchange_ids(ClientCertificate("shop")) is random_exchange_id
    assert usual_exchange_ids(AccessTokenCredentials(None)) is random_exchange_id  # type: ignore[arg-type]


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DerivedExchangeId(KEY[:31])
    assert "\\x" not in repr(DerivedExchangeId(KEY))


@given(
    st.integers(1, 10_000),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 1e6).map(lambda seconds: timedelta(seconds=seconds)),
)
def test_pauses_have_bounds(failures: int, drawn: float, retry_after: timedelta | None) -> None:
    asked = retry_after.total_seconds() if retry_after is not None else 0.0
    pause = Backoff(0.1, 5.0).pause(failures, lambda: drawn, retry_after)
    assert pause >= 0.05
    assert pause >= asked
    assert pause <= max(5.0, asked * 1.25)


def test_ids_follow_a_secret_that_is_renewed_in_its_file(tmp_path: Path) -> None:
    path, now = tmp_path / "secret", 0.0
    path.write_text("s3cret")
    ids = usual_exchange_ids(ClientSecretFile("shop", path, clock=lambda: now))
    assert ids("token") == usual_exchange_ids(ClientSecret("shop", "s3cret"))("token")
    path.write_text("renewed")
    now = 1.0
    assert ids("token") == usual_exchange_ids(ClientSecret("shop", "renewed"))("token")
