"""decide_exchange: every case of the single-use exchange."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.domain.builders import (
    EXCHANGE_ID,
    LOOKUP,
    NOW,
    fingerprint,
    presented,
    session,
    view,
)
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.exchange import (
    Advance,
    Presented,
    Replay,
    Reused,
    decide_exchange,
    request_hash,
)
from token_service.domain.kinds import ClientState
from token_service.domain.records import SessionView

REPLAYABLE = session(exchange_hash=fingerprint(4))


def refusal(reading: SessionView, token: Presented, now: datetime = NOW) -> Reason:
    with pytest.raises(TokenServiceError) as caught:
        decide_exchange(reading, token, now)
    return caught.value.reason


def test_the_current_token_advances_with_the_whole_session() -> None:
    decision = decide_exchange(view(), presented(), NOW)
    assert isinstance(decision, Advance)
    assert decision.grant.audiences == ("billing", "orders")
    assert decision.grant.scopes == ("billing.read", "orders.read")


def test_narrowing_shapes_the_grant() -> None:
    token = presented(audiences=("orders",), scopes=("orders.read",))
    decision = decide_exchange(view(), token, NOW)
    assert isinstance(decision, Advance)
    assert decision.grant.audiences == ("orders",)
    assert decision.grant.scopes == ("orders.read",)


def test_scopes_are_cut_to_what_the_roles_allow_today() -> None:
    reading = view(user_scopes=frozenset({"orders.read"}))
    decision = decide_exchange(reading, presented(), NOW)
    assert isinstance(decision, Advance)
    assert decision.grant.scopes == ("orders.read",)


def test_nothing_left_is_refused_and_not_consumed() -> None:
    assert refusal(view(user_scopes=frozenset()), presented()) is Reason.SCOPE_NOT_ALLOWED


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"scopes": ("orders.write",)}, Reason.SCOPE_WIDENED),
        ({"audiences": ("stock",)}, Reason.AUDIENCE_NOT_ALLOWED),
    ],
)
def test_widening_is_refused(change: dict[str, Any], reason: Reason) -> None:
    assert refusal(view(), presented(**change)) is reason


def test_the_same_request_again_is_a_replay() -> None:
    decision = decide_exchange(view(REPLAYABLE), presented(4, EXCHANGE_ID), NOW)
    assert isinstance(decision, Replay)


@pytest.mark.parametrize(
    "token",
    [
        presented(4),
        presented(4, bytes(16)),
        presented(4, EXCHANGE_ID, scopes=("orders.read",)),
        presented(4, EXCHANGE_ID, audiences=("orders",)),
        presented(3, EXCHANGE_ID),
    ],
    ids=["no id", "another id", "another scope set", "another audience set", "older"],
)
def test_anything_else_of_an_exchanged_token_is_reuse(token: Presented) -> None:
    assert decide_exchange(view(REPLAYABLE), token, NOW) == Reused(alarm=False)


def test_a_replay_ends_with_its_window() -> None:
    window = view().policy.lifetimes_for(REPLAYABLE.platform).replay_window
    token = presented(4, EXCHANGE_ID)
    rotated = replace(REPLAYABLE, idle_expires_at=NOW + timedelta(hours=2))
    last = rotated.rotated_at + window - timedelta(microseconds=1)
    assert isinstance(decide_exchange(view(rotated), token, last), Replay)
    over = rotated.rotated_at + window
    assert decide_exchange(view(rotated), token, over) == Reused(alarm=False)


def test_no_replay_once_the_successor_was_used() -> None:
    used = session(generation=6, exchange_hash=fingerprint(5))
    assert decide_exchange(view(used), presented(4, EXCHANGE_ID), NOW) == Reused(alarm=False)


@pytest.mark.parametrize("generation", [6, 4_000_000_000])
def test_a_generation_ahead_of_the_store_raises_an_alarm(generation: int) -> None:
    assert decide_exchange(view(), presented(generation), NOW) == Reused(alarm=True)


def test_a_current_generation_of_another_mint_key_raises_an_alarm() -> None:
    assert decide_exchange(view(), presented(mint_kid="0000000b"), NOW) == Reused(alarm=True)


@pytest.mark.parametrize(
    "reading",
    [
        view(session(revoked_at=NOW)),
        view(mint_compromised=True),
        view(user_gone=True),
        view(user_disabled=True),
        view(client_state=ClientState.DISABLED),
        view(user_valid_rev=11),
        view(client_valid_rev=11),
        view(global_valid_rev=11),
    ],
)
@pytest.mark.parametrize("generation", [3, 4, 5, 6])
def test_what_is_revoked_is_refused_before_anything_else(
    reading: SessionView, generation: int
) -> None:
    assert refusal(reading, presented(generation, EXCHANGE_ID)) is Reason.TOKEN_REVOKED


def test_a_revision_equal_to_the_floor_is_still_good() -> None:
    assert isinstance(decide_exchange(view(user_valid_rev=10), presented(), NOW), Advance)


@pytest.mark.parametrize("name", ["idle_expires_at", "absolute_expires_at"])
def test_expiry_is_at_the_deadline_itself(name: str) -> None:
    assert refusal(view(session(**{name: NOW})), presented()) is Reason.TOKEN_EXPIRED
    alive = session(**{name: NOW + timedelta(microseconds=1)})
    assert isinstance(decide_exchange(view(alive), presented(), NOW), Advance)


def test_another_client_learns_nothing_about_the_session() -> None:
    for reading in (view(), view(session(revoked_at=NOW)), view(session(idle_expires_at=NOW))):
        assert refusal(reading, presented(client_id="other")) is Reason.CLIENT_MISMATCH


def test_a_bound_session_needs_its_certificate() -> None:
    bound = view(session(confirmation=b"c" * 32))
    assert refusal(bound, presented()) is Reason.BINDING_MISMATCH
    assert refusal(bound, presented(confirmation=b"d" * 32)) is Reason.BINDING_MISMATCH
    assert isinstance(decide_exchange(bound, presented(confirmation=b"c" * 32), NOW), Advance)


names = st.lists(st.sampled_from(["a", "b", "a b", "a\0b", ""]), max_size=3)


@given(names, names, names, names)
def test_fingerprints_tell_requests_apart(
    audiences: list[str],
    scopes: list[str],
    other_audiences: list[str],
    other_scopes: list[str],
) -> None:
    one = request_hash("exchange", EXCHANGE_ID, LOOKUP, 1, "c", audiences, scopes)
    two = request_hash("exchange", EXCHANGE_ID, LOOKUP, 1, "c", other_audiences, other_scopes)
    joined = "\0".join
    same = (joined(sorted(set(audiences))), joined(sorted(set(scopes)))) == (
        joined(sorted(set(other_audiences))),
        joined(sorted(set(other_scopes))),
    )
    assert (one == two) is same


def test_fingerprints_depend_on_purpose_token_and_client() -> None:
    base = ("exchange", EXCHANGE_ID, LOOKUP, 1, "c", (), ())
    others = [
        ("reauthenticate", *base[1:]),
        (*base[:3], 2, *base[4:]),
        (*base[:4], "d", *base[5:]),
    ]
    assert all(request_hash(*other) != request_hash(*base) for other in others)


generations = st.integers(min_value=1, max_value=9)


@given(generations, generations, st.booleans(), st.integers(0, 3600))
def test_exactly_one_generation_advances_and_one_replays(
    current: int, shown: int, same_id: bool, age: int
) -> None:
    """Whatever is presented: n = current advances, n = current - 1 may replay, else reuse."""
    row = session(
        generation=current,
        exchange_hash=fingerprint(current - 1),
        rotated_at=NOW - timedelta(seconds=age),
        idle_expires_at=NOW + timedelta(hours=1),
    )
    token = presented(shown, EXCHANGE_ID if same_id else bytes(16))
    decision = decide_exchange(view(row), token, NOW)
    if shown == current:
        assert isinstance(decision, Advance)
    elif shown == current - 1 and same_id and age < 600:
        assert isinstance(decision, Replay)
    else:
        assert decision == Reused(alarm=shown > current)
