import tracemalloc
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.builders import ISSUER, KID, NOW, SESSION, USER, entry, facts, key, trust
from tokenservice.core import (
    KeyState,
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


# --- messages -------------------------------------------------------------------------------


def test_a_delta_adds_and_moves_on() -> None:
    state = trust(revision=10)
    state.apply_delta("epoch-1", 10, 12, NOW + 1, [entry(12), entry(11, target="other")])
    assert (state.revision, state.read_time) == (12, NOW + 1)
    assert [e.revision for e in state.live_entries()] == [11, 12]
    assert state.status(facts(rev=11)) is REVOKE


def test_a_gap_asks_for_a_snapshot_and_changes_nothing() -> None:
    state = trust([entry(5)], revision=10)
    before = _observable(state)
    with pytest.raises(TrustGap):
        state.apply_delta("epoch-1", 11, 12, NOW + 9, [entry(12, target="other")])
    with pytest.raises(TrustGap):
        state.apply_delta("epoch-2", 10, 12, NOW + 9, [entry(12, target="other")])
    with pytest.raises(TrustGap):
        state.apply_delta("epoch-1", 9, 8, NOW + 9, [])
    with pytest.raises(TrustGap):
        state.apply_heartbeat("epoch-1", 11, NOW + 9)
    with pytest.raises(TrustGap):
        state.apply_heartbeat("epoch-2", 10, NOW + 9)
    assert _observable(state) == before


def test_an_entry_outside_its_message_asks_for_a_snapshot() -> None:
    state = trust(revision=10)
    before = _observable(state)
    with pytest.raises(TrustGap):
        state.apply_delta("epoch-1", 10, 12, NOW, [entry(11), entry(13)])
    with pytest.raises(TrustGap):
        state.apply_snapshot("epoch-1", ISSUER, 12, NOW, [], [entry(13)])
    assert _observable(state) == before


def test_an_older_delta_changes_nothing() -> None:
    state = trust([entry(5)], revision=10)
    before = _observable(state)
    state.apply_delta("epoch-1", 3, 9, NOW + 9, [entry(7, target="other")], [])
    assert _observable(state) == before


def test_an_overlapping_delta_adds_only_what_is_new() -> None:
    state = trust([entry(5)], revision=10)
    state.apply_delta("epoch-1", 3, 12, NOW, [entry(5), entry(9, target="pruned"), entry(12)])
    assert [e.revision for e in state.live_entries()] == [5, 12]


def test_the_time_of_reading_never_goes_backwards() -> None:
    state = trust(revision=10, read_time=NOW)
    state.apply_heartbeat("epoch-1", 10, NOW - 5)
    assert state.read_time == NOW
    state.apply_delta("epoch-1", 10, 11, NOW - 5, [entry(11)])
    assert (state.revision, state.read_time) == (11, NOW)
    state.apply_heartbeat("epoch-1", 11, NOW + 2)
    assert state.read_time == NOW + 2


def test_a_heartbeat_from_an_older_reading_proves_nothing() -> None:
    state = trust(revision=10, read_time=NOW)
    state.apply_heartbeat("epoch-1", 9, NOW + 2)
    assert state.read_time == NOW


def test_keys_change_when_the_message_says_so() -> None:
    state = trust(revision=10)
    state.apply_delta("epoch-1", 10, 11, NOW, [])
    assert set(state.keys) == {KID}
    state.apply_delta("epoch-1", 11, 11, NOW, [], [key(), key("aaaaaaaaaaaaaaaa")])
    assert set(state.keys) == {KID, "aaaaaaaaaaaaaaaa"}
    state.apply_delta("epoch-1", 11, 11, NOW - 1, [], [key()])
    assert set(state.keys) == {KID, "aaaaaaaaaaaaaaaa"}, "keys of an older reading"
    state.apply_delta("epoch-1", 11, 12, NOW - 1, [], [])
    assert set(state.keys) == set()


@pytest.mark.parametrize(
    ("state_of_key", "usable"),
    [
        (KeyState.PENDING, True),
        (KeyState.ACTIVE, True),
        (KeyState.RETIRING, True),
        (KeyState.RETIRED, False),
        (KeyState.COMPROMISED, False),
        (KeyState.UNSPECIFIED, False),
    ],
)
def test_keys_count_while_their_tokens_may_be_good(state_of_key: KeyState, usable: bool) -> None:
    view = trust(keys=[key(state=state_of_key)]).view
    assert (KID in view.verifiable) is usable
    assert view.key_revoked(KID) is (state_of_key is KeyState.COMPROMISED)


def test_a_snapshot_replaces_everything() -> None:
    state = trust([entry(5), entry(6, target="other")], revision=10)
    assert state.apply_snapshot("epoch-1", "https://new.example", 12, NOW + 1, [], [entry(11)])
    assert state.live_entries() == [entry(11)]
    assert (state.revision, state.read_time, state.issuer) == (12, NOW + 1, "https://new.example")
    assert not state.keys
    assert state.entries_between(0, 12) == [entry(11)]
    assert state.prune(NOW + 2000) == 1


def test_an_older_snapshot_of_the_same_log_undoes_nothing() -> None:
    state = trust([entry(5)], revision=10)
    before = _observable(state)
    assert not state.apply_snapshot("epoch-1", ISSUER, 9, NOW + 9, [], [])
    assert _observable(state) == before


def test_another_log_starts_over_even_at_a_lower_revision() -> None:
    state = trust([entry(5)], revision=10, read_time=NOW)
    assert state.apply_snapshot("epoch-2", ISSUER, 3, NOW - 100, [key()], [])
    assert (state.epoch, state.revision, state.read_time) == ("epoch-2", 3, NOW - 100)
    assert state.live_entries() == []


@pytest.mark.parametrize(
    "bad",
    [
        entry(0),
        entry(-1),
        entry(11, keep_until=inf),
        entry(11, keep_until=nan),
        entry(11, TrustEntryKind.UNSPECIFIED),
        entry(11, 8),  # type: ignore[arg-type]
        entry(11, effect=TrustEffect.UNSPECIFIED),
        entry(11, effect=3),  # type: ignore[arg-type]
        entry(11, target=""),
        entry(11, device="browser-1"),
        entry(11, TrustEntryKind.EVERYTHING, "something"),
        entry(11, TrustEntryKind.SUBJECT_DEVICE, USER),
    ],
)
def test_an_entry_that_cannot_be_honoured_is_not_skipped(bad: TrustEntry) -> None:
    state = trust([entry(5)], revision=10)
    before = _observable(state)
    if bad.revision > 10:
        with pytest.raises(ValueError, match="trust entry"):
            state.apply_delta("epoch-1", 10, 12, NOW + 1, [entry(11, target="a"), bad], [])
    with pytest.raises(ValueError, match="trust entry"):
        state.apply_snapshot("epoch-2", ISSUER, 12, NOW + 1, [], [entry(3), bad])
    assert _observable(state) == before


@pytest.mark.parametrize(
    ("epoch", "revision", "read_time"),
    [("", 11, NOW), ("epoch-1", -1, NOW), ("epoch-1", 11, nan), ("epoch-1", 11, inf)],
)
def test_a_message_without_a_sensible_head_is_refused(
    epoch: str, revision: int, read_time: float
) -> None:
    state = trust(revision=10)
    before = _observable(state)
    with pytest.raises(ValueError, match="trust message"):
        state.apply_snapshot(epoch, ISSUER, revision, read_time, [], [])
    with pytest.raises(ValueError, match="trust message"):
        state.apply_delta(epoch, 10, revision, read_time, [])
    with pytest.raises(ValueError, match="trust message"):
        state.apply_heartbeat(epoch, revision, read_time)
    assert _observable(state) == before


# --- freshness, pruning, size ---------------------------------------------------------------


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
            new = TrustEntry(i, kind, ident(i), device, REVOKE, NOW + i / 7)
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


def _observable(state: TrustState) -> tuple[object, ...]:
    return (
        state.epoch,
        state.issuer,
        state.revision,
        state.read_time,
        dict(state.keys),
        state.live_entries(),
        [state.status(facts(rev=rev)) for rev in range(20)],
    )
