import tracemalloc
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tokens import KID, NOW, SESSION, USER, entry, facts, trust
from tokenservice.core import (
    TrustEffect,
    TrustEntry,
    TrustEntryKind,
    TrustGap,
    TrustState,
)

REVOKE, REISSUE = TrustEffect.REVOKE, TrustEffect.REISSUE


def test_an_empty_state_is_never_fresh_and_knows_no_key() -> None:
    state = TrustState()
    assert not state.is_fresh(0.0, 5.0)
    assert not state.is_fresh(NOW, inf)
    assert not state.keys
    assert state.live_entries() == []
    with pytest.raises(TrustGap):
        state.apply_heartbeat("epoch-1", 0, NOW)
    with pytest.raises(TrustGap):
        state.apply_delta("epoch-1", 0, 0, NOW, [])


@pytest.mark.parametrize(
    ("kind", "target", "device", "by_identity"),
    [
        (TrustEntryKind.TOKEN, "token-1", "", {REVOKE, REISSUE}),
        (TrustEntryKind.SESSION, SESSION, "", {REVOKE}),
        (TrustEntryKind.KEY, KID, "", {REVOKE}),
        (TrustEntryKind.SUBJECT, USER, "", set()),
        (TrustEntryKind.SUBJECT_DEVICE, USER, "browser-1", set()),
        (TrustEntryKind.CLIENT, "web-shop", "", set()),
        (TrustEntryKind.EVERYTHING, "", "", set()),
    ],
)
@pytest.mark.parametrize("effect", [REVOKE, REISSUE])
def test_what_an_entry_kills(
    kind: TrustEntryKind,
    target: str,
    device: str,
    by_identity: set[TrustEffect],
    effect: TrustEffect,
) -> None:
    state = trust([entry(50, kind, target, device=device, effect=effect)])
    younger = effect if effect in by_identity else None
    assert state.status(facts(rev=49)) is effect
    assert state.status(facts(rev=50)) is younger
    assert state.status(facts(rev=51)) is younger


@pytest.mark.parametrize(
    ("kind", "target", "device"),
    [
        (TrustEntryKind.TOKEN, "token-2", ""),
        (TrustEntryKind.TOKEN, SESSION, ""),
        (TrustEntryKind.SESSION, "token-1", ""),
        (TrustEntryKind.SUBJECT, "web-shop", ""),
        (TrustEntryKind.SUBJECT_DEVICE, USER, "browser-2"),
        (TrustEntryKind.SUBJECT_DEVICE, "somebody", "browser-1"),
        (TrustEntryKind.CLIENT, USER, ""),
        (TrustEntryKind.KEY, "fedcba9876543210", ""),
    ],
)
def test_an_entry_leaves_others_alone(kind: TrustEntryKind, target: str, device: str) -> None:
    assert trust([entry(50, kind, target, device=device)]).status(facts(rev=1)) is None


def test_a_token_without_device_is_on_no_device() -> None:
    state = trust([entry(50, TrustEntryKind.SUBJECT_DEVICE, USER, device="browser-1")])
    assert state.status(facts(rev=1, device_id="")) is None


def test_revoking_wins_over_reissuing_in_either_order() -> None:
    for effects in ((REVOKE, REISSUE), (REISSUE, REVOKE)):
        entries = [entry(50 + i, effect=effect) for i, effect in enumerate(effects)]
        assert trust(entries).status(facts(rev=1)) is REVOKE


def test_each_effect_has_its_own_revision() -> None:
    state = trust([entry(50, effect=REVOKE), entry(60, effect=REISSUE)])
    assert [state.status(facts(rev=rev)) for rev in (49, 50, 59, 60)] == [
        REVOKE,
        REISSUE,
        REISSUE,
        None,
    ]


@pytest.mark.parametrize(
    ("age", "fresh"),
    [
        (0.0, True),
        (5.0, True),
        (5.001, False),
        (-5.0, True),
        (-5.001, False),
        (nan, False),
        (inf, False),
        (-inf, False),
    ],
)
def test_freshness_is_the_age_of_the_reading(age: float, fresh: bool) -> None:
    assert trust(read_time=NOW).is_fresh(NOW + age, 5.0) is fresh


def test_an_entry_is_kept_until_its_time_is_past() -> None:
    state = trust([entry(5, keep_until=NOW + 10.0), entry(6, target="x", keep_until=NOW + 5.0)])
    assert state.prune(NOW + 5.0) == 0
    assert state.prune(NOW + 10.0) == 1
    assert state.status(facts(rev=1)) is REVOKE
    assert state.prune(NOW + 10.1) == 1
    assert state.status(facts(rev=1)) is None
    assert state.prune(NOW + 99.0) == 0


def test_the_older_of_two_entries_stays_when_the_newer_goes_first() -> None:
    older = entry(50, keep_until=NOW + 100.0)
    newest = entry(70, keep_until=NOW + 20.0)
    state = trust([older, entry(60, keep_until=NOW + 10.0), newest])
    assert state.status(facts(rev=65)) is REVOKE
    state.prune(NOW + 15.0)
    assert state.status(facts(rev=65)) is REVOKE
    state.prune(NOW + 25.0)
    assert state.status(facts(rev=65)) is None
    assert state.status(facts(rev=49)) is REVOKE
    state.prune(NOW + 101.0)
    assert state.status(facts(rev=1)) is None


def test_one_call_prunes_a_bounded_number() -> None:
    state = trust([entry(i, TrustEntryKind.TOKEN, f"t{i}") for i in range(1, 11)])
    assert [state.prune(NOW + 2000, at_most=4) for _ in range(4)] == [4, 4, 2, 0]


def test_ten_thousand_entries_take_less_than_ten_megabytes() -> None:
    def ident(i: int) -> str:
        return f"{i:08x}-0000-4000-8000-{i:012x}"

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        state = trust(revision=1)
        for i in range(2, 10_002):
            kind = TrustEntryKind.SESSION if i % 3 else TrustEntryKind.SUBJECT_DEVICE
            device = "" if i % 3 else ident(i + 1)
            new = TrustEntry(
                revision=i,
                kind=kind,
                id=ident(i),
                device_id=device,
                effect=REVOKE,
                keep_until=NOW + i / 7,
            )
            state.apply_delta("epoch-1", i - 1, i, NOW, [new])
        used = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert len(state.live_entries()) == 10_000
    assert used < 10_000_000


@given(st.lists(st.integers(1, 40), unique=True), st.integers(0, 45), st.integers(0, 45))
def test_entries_between_two_revisions(held: list[int], low: int, high: int) -> None:
    state = trust([entry(i, TrustEntryKind.TOKEN, f"t{i}") for i in held])
    found = [e.revision for e in state.entries_between(low, high)]
    assert found == sorted(i for i in held if low < i <= high)
