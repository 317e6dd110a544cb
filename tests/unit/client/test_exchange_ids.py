"""Ids of exchanges and pauses between attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenservice.backoff import Backoff
from tokenservice.exchange_ids import DerivedExchangeId, random_exchange_id

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


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        DerivedExchangeId(KEY[:31])
    assert "\\x" not in repr(DerivedExchangeId(KEY))


@given(
    st.integers(1, 10_000),
    st.floats(0, 1, exclude_max=True),
    st.none() | st.floats(0, 1e6),
)
def test_pauses_have_bounds(failures: int, drawn: float, retry_after: float | None) -> None:
    pause = Backoff(0.1, 5.0).pause(failures, lambda: drawn, retry_after)
    assert pause >= 0.05
    assert pause >= (retry_after or 0.0)
    assert pause <= max(5.0, (retry_after or 0.0) * 1.25)
