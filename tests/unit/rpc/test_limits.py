"""Bounds and rates, with a clock that stands still."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from token_service.domain.errors import Reason, TokenServiceError
from token_service.rpc import capacity as limits
from token_service.rpc.capacity import RateLimiter, WorkBound
from token_service.rpc.policy_table import Rate


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def taken(limiter: RateLimiter, caller: str = "a") -> timedelta | None:
    """Take one call; the time to wait when it was refused."""
    try:
        limiter.take(caller)
    except TokenServiceError as error:
        return error.retry_after if error.reason is Reason.RATE_LIMITED else timedelta(-1)
    return None


def test_a_burst_then_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(Rate(per_second=4, burst=3), clock)
    assert [taken(limiter) for _ in range(3)] == [None] * 3
    assert taken(limiter) == timedelta(seconds=0.25)
    clock.now += 0.2
    assert taken(limiter) == timedelta(seconds=0.05)
    clock.now += 0.05
    assert taken(limiter) is None
    assert taken(limiter) == timedelta(seconds=0.25)


def test_rest_fills_the_bucket_and_no_more() -> None:
    clock = Clock()
    limiter = RateLimiter(Rate(per_second=1, burst=2), clock)
    clock.now += 1_000
    assert [taken(limiter) is None for _ in range(3)] == [True, True, False]


@given(st.lists(st.floats(0, 2), min_size=1, max_size=60))
def test_never_more_than_burst_and_rate(pauses: list[float]) -> None:
    clock = Clock()
    limiter = RateLimiter(Rate(per_second=2, burst=3), clock)
    allowed: list[float] = []
    for pause in pauses:
        clock.now += pause
        if taken(limiter) is None:
            allowed.append(clock.now)
    for first in range(len(allowed)):
        for last in range(first, len(allowed)):
            assert last - first + 1 <= 3 + 2 * (allowed[last] - allowed[first]) + 1e-6


def test_callers_do_not_share() -> None:
    limiter = RateLimiter(Rate(per_second=1, burst=1), Clock())
    assert taken(limiter, "a") is None
    assert taken(limiter, "b") is None
    assert taken(limiter, "a") is not None


def test_memory_is_bounded_and_the_busy_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CALLERS", 10)
    clock = Clock()
    limiter = RateLimiter(Rate(per_second=1, burst=1), clock)
    for number in range(9):
        limiter.take(f"idle {number}")
    clock.now += 2
    limiter.take("busy")
    for number in range(5):
        limiter.take(f"new {number}")
        assert len(limiter._full_at) <= 10
    assert taken(limiter, "busy") is not None


def test_a_flood_of_callers_cannot_grow_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_CALLERS", 10)
    limiter = RateLimiter(Rate(per_second=1, burst=1), Clock())
    for number in range(100):
        limiter.take(str(number))
        assert len(limiter._full_at) <= 10


def reason_of(bound: WorkBound, holder: str = "a") -> Reason:
    with pytest.raises(TokenServiceError) as caught:
        bound.enter(holder)
    return caught.value.reason


def test_a_bound_refuses_what_is_too_much() -> None:
    bound = WorkBound(2)
    bound.enter("a")
    bound.enter("b")
    assert reason_of(bound, "c") is Reason.OVERLOADED
    bound.leave("a")
    bound.enter("c")
    assert bound.active == 2


def test_a_closed_bound_says_why() -> None:
    bound = WorkBound(2)
    bound.enter("a")
    bound.close()
    assert reason_of(bound) is Reason.SHUTTING_DOWN
    bound.pass_on("a", "b")  # what was let in before goes on
    bound.leave("b")
    assert bound.active == 0


def filled(bound: WorkBound, holder: str) -> int:
    """Take places for `holder` until it is refused; how many it got."""
    got = 0
    while True:
        try:
            bound.enter(holder)
        except TokenServiceError:
            return got
        got += 1


@pytest.mark.parametrize("limit", [4, 10, 64, 200, 1_000, 5_000])
def test_one_caller_gets_most_places_and_not_all(limit: int) -> None:
    bound = WorkBound(limit)
    assert filled(bound, "greedy") == -(-limit * 3 // 4)
    bound.leave("greedy")
    assert filled(bound, "greedy") == 1
    assert filled(bound, "next") > 0


@given(
    st.integers(1, 2_000),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=400),
)
def test_a_newcomer_finds_any_place_that_is_free(limit: int, steps: list[tuple[str, bool]]) -> None:
    bound = WorkBound(limit)
    held = dict.fromkeys("abcdef", 0)
    for holder, comes in steps:
        if comes:
            held[holder] += filled(bound, holder)
        elif held[holder]:
            bound.leave(holder)
            held[holder] -= 1
        assert bound.active == sum(held.values()) <= limit
    if bound.active < limit:
        bound.enter("newcomer")


def test_a_place_is_passed_on_to_whom_it_is_for() -> None:
    bound = WorkBound(8)
    for _ in range(6):
        bound.enter("@192.0.2.1")
        bound.pass_on("@192.0.2.1", "shop")
    bound.enter("@192.0.2.1")
    with pytest.raises(TokenServiceError) as caught:
        bound.pass_on("@192.0.2.1", "shop")
    assert caught.value.reason is Reason.OVERLOADED
    assert bound.active == 7
    bound.pass_on("@192.0.2.1", "other")
    assert bound.active == 7
    bound.leave("other")
    for _ in range(6):
        bound.leave("shop")
    assert bound.active == 0
    assert filled(bound, "again") == 6


def pause_of(bound: WorkBound) -> float:
    with pytest.raises(TokenServiceError) as caught:
        bound.enter("a")
    assert caught.value.retry_after is not None
    return caught.value.retry_after.total_seconds()


@given(st.integers(20, 500))
def test_a_refused_crowd_is_spread_over_time(people: int) -> None:
    """In any tenth of the time there are about as many as in any other."""
    bound = WorkBound(0, timedelta(seconds=1))
    pauses = [pause_of(bound) for _ in range(people)]
    assert min(pauses) >= 1
    assert max(pauses) < 3
    counts = [0] * 10
    for pause in pauses:
        counts[int((pause - 1) * 5)] += 1
    assert max(counts) - min(counts) <= 3


def test_a_bound_without_a_pause_leaves_it_to_the_reason() -> None:
    with pytest.raises(TokenServiceError) as caught:
        WorkBound(0).enter("a")
    assert caught.value.retry_after is None
