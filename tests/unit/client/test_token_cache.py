"""What is remembered of tokens, within bounds."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tokens import NOW, facts
from tokenservice._decisions.token_cache import ENTRY_BYTES, CachedToken, RefusalCache, TokenCache
from tokenservice.core import Requirement, Verdict

REQUIREMENT = Requirement("orders")


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def token(number: int = 0, *, expires_at: int = NOW + 300) -> CachedToken:
    return CachedToken(facts(token_id=f"t{number:04}", expires_at=expires_at))


def filled(cache: TokenCache, count: int) -> None:
    for number in range(count):
        cache.put(digest(number), token(number), NOW)


def test_the_number_is_bounded() -> None:
    cache = TokenCache(max_entries=10)
    filled(cache, 1000)
    assert len(cache) == 10
    assert cache.get(digest(999)) is not None


def test_the_bytes_are_bounded() -> None:
    size = token().size
    cache = TokenCache(max_bytes=5 * size)
    filled(cache, 100)
    assert len(cache) == 5
    assert cache.bytes == 5 * size
    cache.put(digest(500), CachedToken(facts(subject="s" * 3 * ENTRY_BYTES)), NOW)
    assert cache.bytes <= 5 * size
    assert len(cache) == 2


def test_what_is_in_use_stays() -> None:
    """However many authentic tokens come by once."""
    cache = TokenCache(max_entries=100)
    filled(cache, 50)
    for number in range(1000, 3000):
        for good in range(0, 50, 5):
            entry = cache.get(digest(good))
            assert entry is not None
            entry.used = True
        cache.put(digest(number), token(number), NOW)
    assert len(cache) == 100


def test_it_ends_when_all_are_in_use() -> None:
    cache = TokenCache(max_entries=1000)
    filled(cache, 1000)
    for number in range(1000):
        entry = cache.get(digest(number))
        assert entry is not None
        entry.used = True
    cache.put(digest(5000), token(), NOW)
    assert len(cache) == 1000


def test_the_expired_go_first() -> None:
    cache = TokenCache(max_entries=2)
    dead, live = token(1, expires_at=NOW - 1), token(2)
    dead.used = live.used = True
    cache.put(digest(1), dead, NOW)
    cache.put(digest(2), live, NOW)
    cache.put(digest(3), token(3), NOW)
    assert cache.get(digest(1)) is None
    assert cache.get(digest(2)) is live


def test_a_token_that_comes_again_replaces_itself() -> None:
    cache = TokenCache(max_entries=2)
    for _ in range(5):
        cache.put(digest(1), token(1), NOW)
    assert len(cache) == 1
    assert cache.bytes == token(1).size
    filled(cache, 2)
    assert len(cache) == 2


def test_a_sweep_drops_the_expired_bit_by_bit() -> None:
    cache = TokenCache()
    for number in range(100):
        cache.put(digest(number), token(number, expires_at=NOW + number), NOW)
    assert cache.sweep(NOW + 49, 30) == 30
    assert cache.sweep(NOW + 49, 30) == 20
    assert len(cache) == 50
    assert cache.sweep(NOW + 49, 1000) == 0
    cache.clear()
    assert len(cache) == cache.bytes == 0
    assert cache.sweep(NOW + 999, 10) == 0


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=200))
def test_the_books_are_right(steps: list[tuple[int, bool]]) -> None:
    cache = TokenCache(max_entries=7, max_bytes=6 * token().size)
    for number, use in steps:
        entry = cache.get(digest(number))
        if entry is not None and use:
            entry.used = True
        else:
            cache.put(digest(number), token(number), NOW)
        held = [cache.get(digest(one)) for one in range(21)]
        assert cache.bytes == sum(one.size for one in held if one is not None)
        assert len(cache) == sum(one is not None for one in held) <= 6


@pytest.mark.parametrize("limits", [(0, 1), (1, 0)])
def test_a_limit_is_at_least_one(limits: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        TokenCache(*limits)


def test_a_refusal_holds_for_a_moment_a_requirement_and_a_revision() -> None:
    refusals = RefusalCache()
    refusals.put(digest(1), Verdict.WRONG_AUDIENCE, REQUIREMENT, 7, 100.0)
    same, other = replace(REQUIREMENT), replace(REQUIREMENT, audience="billing")
    assert refusals.get(digest(1), same, 7, 99.0) == (Verdict.WRONG_AUDIENCE, 7)
    assert refusals.get(digest(1), other, 7, 99.0) is None
    assert refusals.get(digest(1), same, 8, 99.0) is None
    assert refusals.get(digest(1), same, 7, 100.0) is None
    refusals.put(digest(2), Verdict.UNKNOWN, None, 7, 100.0)
    assert refusals.get(digest(2), other, 0, 99.0) == (Verdict.UNKNOWN, 7)
    refusals.clear()
    assert len(refusals) == 0


def test_refusals_are_bounded() -> None:
    refusals = RefusalCache(max_entries=10)
    for number in range(1000):
        refusals.put(digest(number), Verdict.UNKNOWN, None, 1, 100.0)
        assert len(refusals) <= 10
