"""Caches that start over when they are full."""

from hypothesis import given
from hypothesis import strategies as st

from tokenservice.core.bounded_cache import put_bounded


@given(st.integers(1, 4), st.lists(st.integers(0, 6)))
def test_only_a_new_key_evicts_and_only_from_a_full_cache(limit: int, keys: list[int]) -> None:
    cache: dict[int, int] = {}
    for number, key in enumerate(keys):
        before = dict(cache)
        put_bounded(cache, key, number, limit)
        full = len(before) == limit and key not in before
        assert cache == ({key: number} if full else {**before, key: number})
        assert len(cache) <= limit
