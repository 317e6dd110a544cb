"""decide_exchange: every case of the single-use exchange."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.domain.builders import (
    EXCHANGE_ID,
    NOW,
    exchanged,
    exchanged_by_a_former_node,
    presented,
    session,
    view,
)
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState
from token_service.domain.sessions.exchange import (
    Advance,
    Presented,
    Replay,
    Reused,
    Superseded,
    decide_exchange,
)
from token_service.domain.sessions.exchange_fingerprint import Purpose
from token_service.domain.sessions.session import SessionView

REPLAYABLE = exchanged(4)
MINUTE = timedelta(minutes=1)


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


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ({}, (("billing", "orders"), ("billing.read", "orders.read"))),
        ({"audiences": ("orders",)}, (("orders",), ("billing.read", "orders.read"))),
        ({"scopes": ("orders.read",)}, (("billing", "orders"), ("orders.read",))),
    ],
)
def test_the_same_exchange_again_is_a_replay_for_what_is_asked_now(
    asked: dict[str, Any], granted: tuple[tuple[str, ...], tuple[str, ...]]
) -> None:
    decision = decide_exchange(view(REPLAYABLE), presented(4, EXCHANGE_ID, **asked), NOW)
    assert isinstance(decision, Replay)
    assert (decision.grant.audiences, decision.grant.scopes) == granted


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"scopes": ("orders.write",)}, Reason.SCOPE_WIDENED),
        ({"audiences": ("stock",)}, Reason.AUDIENCE_NOT_ALLOWED),
    ],
)
def test_a_replay_cannot_ask_for_more_than_the_session_has(
    asked: dict[str, Any], reason: Reason
) -> None:
    assert refusal(view(REPLAYABLE), presented(4, EXCHANGE_ID, **asked)) is reason


@pytest.mark.parametrize(
    "token",
    [
        presented(4),
        presented(4, bytes(16)),
        presented(3, EXCHANGE_ID),
        presented(4, purpose=Purpose.REAUTHENTICATE),
        presented(4, bytes(16), purpose=Purpose.REAUTHENTICATE),
    ],
    ids=["no id", "another id", "older", "step-up without id", "step-up with another id"],
)
def test_anything_else_of_an_exchanged_token_is_reuse(token: Presented) -> None:
    assert decide_exchange(view(REPLAYABLE), token, NOW) == Reused(alarm=False)


def test_the_other_call_of_the_same_presenter_is_superseded() -> None:
    for first, second in (
        (Purpose.EXCHANGE, Purpose.REAUTHENTICATE),
        (Purpose.REAUTHENTICATE, Purpose.EXCHANGE),
    ):
        for moved in (
            exchanged(4, purpose=first),
            exchanged_by_a_former_node(4, purpose=first),
        ):
            token = presented(4, EXCHANGE_ID, purpose=second)
            assert decide_exchange(view(moved), token, NOW) == Superseded()


def test_what_moved_the_session_during_the_call_is_no_second_presenter() -> None:
    """Only reading it first tells: whoever comes after that has shown a spent token."""
    for generation in (6, 7, 9):
        moved = view(session(generation=generation))
        token = presented(5, EXCHANGE_ID, purpose=Purpose.REAUTHENTICATE)
        assert decide_exchange(moved, token, NOW, was_current=True) == Superseded()
        assert decide_exchange(moved, token, NOW) == Reused(alarm=False)
    behind = view(session(generation=4))
    assert decide_exchange(behind, presented(5), NOW, was_current=True) == Reused(alarm=True)


def test_nodes_of_the_previous_version_are_understood() -> None:
    """Their fingerprint covers audiences and scopes, in any order."""
    wide = {"audiences": ("orders", "billing"), "scopes": ("orders.read",)}
    moved = view(exchanged_by_a_former_node(4, **wide))  # type: ignore[arg-type]
    again = presented(4, EXCHANGE_ID, audiences=("billing", "orders"), scopes=("orders.read",))
    assert isinstance(decide_exchange(moved, again, NOW), Replay)
    other = presented(4, EXCHANGE_ID, audiences=("orders",), scopes=("orders.read",))
    assert decide_exchange(moved, other, NOW) == Reused(alarm=False)
    older = presented(3, EXCHANGE_ID)
    assert decide_exchange(moved, older, NOW) == Reused(alarm=False)


def test_a_replay_ends_with_its_window() -> None:
    window = view().policy.lifetimes_for(REPLAYABLE.platform).replay_window
    token = presented(4, EXCHANGE_ID)
    rotated = replace(REPLAYABLE, idle_expires_at=NOW + timedelta(hours=2))
    last = rotated.rotated_at + window - timedelta(microseconds=1)
    assert isinstance(decide_exchange(view(rotated), token, last), Replay)
    over = rotated.rotated_at + window
    assert decide_exchange(view(rotated), token, over) == Reused(alarm=False)


@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize(
    ("within", "lasts"),
    [
        (MINUTE * 2, MINUTE * 2),
        (timedelta(0), timedelta(0)),
        (timedelta(days=1), MINUTE * 10),
        (None, MINUTE * 10),
    ],
)
def test_a_caller_may_shorten_the_window_and_not_lengthen_it(
    within: timedelta | None, lasts: timedelta, purpose: Purpose
) -> None:
    token = presented(4, EXCHANGE_ID, replay_within=within)
    row = exchanged(4, purpose=purpose, rotated_at=NOW, idle_expires_at=NOW + timedelta(hours=2))
    kind = Replay if purpose is Purpose.EXCHANGE else Superseded
    if lasts:
        last = NOW + lasts - timedelta(microseconds=1)
        assert isinstance(decide_exchange(view(row), token, last), kind)
    assert decide_exchange(view(row), token, NOW + lasts) == Reused(alarm=False)


def test_no_replay_once_the_successor_was_used() -> None:
    used = exchanged(5)
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


generations = st.integers(min_value=1, max_value=9)


@given(generations, generations, st.booleans(), st.integers(0, 3600))
def test_exactly_one_generation_advances_and_one_replays(
    current: int, shown: int, same_id: bool, age: int
) -> None:
    """Whatever is presented: n = current advances, n = current - 1 may replay, else reuse."""
    row = exchanged(
        current - 1,
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
