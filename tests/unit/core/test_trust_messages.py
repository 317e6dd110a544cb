from math import inf, nan

import pytest

from tests.support.tokens import ISSUER, KID, NOW, USER, entry, facts, key, trust
from tokenservice.core import (
    KeyState,
    TrustEffect,
    TrustEntry,
    TrustEntryKind,
    TrustGap,
    TrustSnapshot,
    TrustState,
)

REVOKE, REISSUE = TrustEffect.REVOKE, TrustEffect.REISSUE


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


def test_a_snapshot_may_be_put_together_in_parts() -> None:
    state = trust([entry(5)], revision=12)
    parts = TrustSnapshot()
    parts.add([key()], [entry(3, TrustEntryKind.SESSION, "s1")])
    parts.add([key("k2")], [entry(20, TrustEntryKind.SESSION, "s2")])
    with pytest.raises(TrustGap):
        state.adopt(parts, "epoch-1", ISSUER, 19, NOW)
    assert state.status(facts(session_id="s2")) is None
    assert state.adopt(parts, "epoch-1", ISSUER, 20, NOW)
    assert list(state.keys) == [KID, "k2"]
    assert state.status(facts(session_id="s1")) is state.status(facts(session_id="s2"))
    assert state.status(facts(session_id="s1")) is REVOKE
    assert [one.revision for one in state.live_entries()] == [3, 20]
    state.prune(NOW + 2000.0)
    assert state.live_entries() == []


def test_parts_come_in_order() -> None:
    parts = TrustSnapshot()
    parts.add([key()], [entry(3), entry(3)])
    with pytest.raises(ValueError, match="order"):
        parts.add([], [entry(2)])


def test_a_state_that_is_not_trusted_any_more_waits_for_a_snapshot() -> None:
    state = trust([entry(5)], revision=12)
    state.distrust()
    assert not state.is_fresh(NOW, 5)
    with pytest.raises(TrustGap):
        state.apply_heartbeat("epoch-1", 12, NOW)
    with pytest.raises(TrustGap):
        state.apply_delta("epoch-1", 12, 13, NOW, [])
    assert not state.is_fresh(NOW, 5)
    assert state.apply_snapshot("epoch-1", ISSUER, 3, NOW, [key()], [])
    assert state.is_fresh(NOW, 5)
    assert state.revision == 3
