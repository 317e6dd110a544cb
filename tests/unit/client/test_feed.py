"""What each message does to the view, and what breaks a stream."""

from collections.abc import Callable

import pytest

from tests.support.feed_messages import (
    OTHER_EPOCH,
    delta,
    entry_message,
    heartbeat,
    key_message,
    message,
    snapshot,
)
from tests.support.hands import HandClock
from tests.support.tokens import KID, NOW, entry, facts
from tokenservice._decisions.local_validator import LocalValidator
from tokenservice._validator.feed import FeedBroken, FeedReader
from tokenservice.core import TrustEntryKind
from tokenservice.v1 import trust_service_pb2 as pb

LIMIT = 5.0


class Fed:
    """A view, its reader, and what it has said."""

    def __init__(self) -> None:
        self.hand = HandClock(anchored=False)
        self.local = LocalValidator(clock=self.hand.clock, staleness_limit=LIMIT)
        self.trust = self.local.trust
        self.said: list[str] = []
        self.reader = FeedReader(
            self.trust,
            self.hand.clock,
            lambda: self.said.append("keys"),
            lambda: self.said.append("log"),
        )

    def open(self) -> pb.WatchTrustRequest:
        return self.reader.begin()

    def fresh(self) -> bool:
        return self.local.fresh

    def kills(self, session: str) -> bool:
        return self.trust.status(facts(session_id=session)) is not None


@pytest.fixture
def fed() -> Fed:
    """With a view of revision 10, in which session "s1" is revoked."""
    fed = Fed()
    assert fed.open() == pb.WatchTrustRequest()
    first = entry(7, TrustEntryKind.SESSION, "s1")
    fed.reader.apply(snapshot(message(10, NOW), [first], [key_message()]))
    fed.said.clear()
    return fed


def test_a_snapshot_is_fresh_and_then_grows_old(fed: Fed) -> None:
    assert fed.fresh()
    assert fed.trust.revision == 10
    assert fed.kills("s1")
    fed.hand.advance(LIMIT)
    assert fed.fresh()
    fed.hand.advance(0.001)
    assert not fed.fresh()


def test_another_stream_goes_on_where_the_last_one_was(fed: Fed) -> None:
    assert fed.open() == pb.WatchTrustRequest(epoch=fed.trust.epoch, from_revision=10)


def test_chunks_take_effect_together() -> None:
    fed = Fed()
    fed.open()
    one = entry(1, TrustEntryKind.SESSION, "s1")
    two = entry(2, TrustEntryKind.SESSION, "s2")
    fed.reader.apply(snapshot(message(9, NOW), [one], [key_message()], last=False))
    assert fed.reader.in_snapshot
    assert not fed.trust.epoch
    assert not fed.kills("s1")
    fed.reader.apply(snapshot(message(9, NOW), [two]))
    assert fed.fresh()
    assert fed.kills("s1")
    assert fed.kills("s2")
    assert KID in fed.trust.keys


def test_a_delta_adds_and_a_heartbeat_freshens(fed: Fed) -> None:
    fed.hand.advance(3)
    two = entry(11, TrustEntryKind.SESSION, "s2")
    fed.reader.apply(delta(message(11, NOW + 3), 10, [two]))
    assert fed.kills("s2")
    fed.hand.advance(4)
    fed.reader.apply(heartbeat(message(11, NOW + 7)))
    fed.hand.advance(4)
    assert fed.fresh()


def test_a_buffered_heartbeat_is_as_old_as_it_says(fed: Fed) -> None:
    """Whatever it says of the server's clock, too: it was right when it was sent."""
    fed.hand.advance(60)
    fed.reader.apply(heartbeat(message(10, NOW + 2, NOW + 2)))
    assert not fed.fresh()
    fed.reader.apply(heartbeat(message(10, NOW + 56, NOW + 56)))
    assert fed.fresh()
    fed.hand.advance(2)
    assert not fed.fresh()


def test_a_server_that_cannot_read_its_log_freshens_nothing(fed: Fed) -> None:
    fed.hand.advance(6)
    fed.reader.apply(heartbeat(message(10, NOW, NOW + 6)))
    assert not fed.fresh()


def test_what_is_known_already_changes_nothing(fed: Fed) -> None:
    two = entry(11, TrustEntryKind.SESSION, "s2")
    twice = delta(message(11, NOW), 10, [two])
    fed.reader.apply(twice)
    fed.reader.apply(twice)
    fed.reader.apply(heartbeat(message(10, NOW + 100)))
    assert fed.trust.revision == 11
    fed.hand.advance(6)
    assert not fed.fresh()  # the heartbeat was about an older revision


GAPS: list[Callable[[], pb.WatchTrustResponse]] = [
    lambda: delta(message(13, NOW), 12),
    lambda: heartbeat(message(11, NOW)),
    lambda: delta(message(11, NOW), 10, [entry(12)]),
    lambda: heartbeat(message(10, NOW, issuer="https://other.example")),
]


@pytest.mark.parametrize("gap", GAPS)
def test_after_a_gap_a_snapshot_is_asked_for(
    fed: Fed, gap: Callable[[], pb.WatchTrustResponse]
) -> None:
    with pytest.raises(FeedBroken):
        fed.reader.apply(gap())
    assert fed.fresh()  # what it knows is as good as it was
    assert fed.trust.revision == 10
    assert fed.open() == pb.WatchTrustRequest()
    fed.reader.apply(snapshot(message(13, NOW), [entry(12)], [key_message()]))
    assert fed.open().from_revision == 13


def test_a_snapshot_that_breaks_off_is_forgotten(fed: Fed) -> None:
    fed.open()
    fed.reader.apply(snapshot(message(20, NOW), [], [], last=False))
    with pytest.raises(FeedBroken):
        fed.reader.apply(heartbeat(message(20, NOW)))
    assert fed.trust.revision == 10
    fed.open()
    fed.reader.apply(snapshot(message(20, NOW), [], [], last=False))
    fed.open()
    assert not fed.reader.in_snapshot


def test_chunks_of_two_snapshots_are_not_mixed(fed: Fed) -> None:
    fed.open()
    fed.reader.apply(snapshot(message(20, NOW), [], [], last=False))
    with pytest.raises(FeedBroken):
        fed.reader.apply(snapshot(message(21, NOW), [], []))
    assert fed.trust.revision == 10


def test_a_snapshot_without_its_first_part_is_not_taken(fed: Fed) -> None:
    with pytest.raises(FeedBroken):
        fed.reader.apply(snapshot(message(20, NOW), [entry(19)]))
    assert fed.trust.revision == 10


def test_another_log_ends_all_trust_until_its_snapshot_is_whole(fed: Fed) -> None:
    fed.open()
    fed.reader.apply(
        snapshot(message(3, NOW, epoch=OTHER_EPOCH), [entry(2)], [key_message()], last=False)
    )
    assert not fed.fresh()
    assert fed.local.floor == 0
    fed.reader.apply(snapshot(message(3, NOW, epoch=OTHER_EPOCH)))
    assert fed.fresh()
    assert fed.local.floor == 3
    assert not fed.kills("s1")
    assert fed.said == ["log"]


@pytest.mark.parametrize("event", [heartbeat, lambda head: delta(head, 10)])
def test_another_log_without_a_snapshot_ends_all_trust_too(
    fed: Fed, event: Callable[..., pb.WatchTrustResponse]
) -> None:
    with pytest.raises(FeedBroken):
        fed.reader.apply(event(message(10, NOW, epoch=OTHER_EPOCH)))
    assert not fed.fresh()
    assert fed.open() == pb.WatchTrustRequest()


def unknown(field: str) -> pb.TrustEntry:
    odd = entry_message(entry(11))
    setattr(odd, field, 99)
    return odd


@pytest.mark.parametrize("field", ["kind", "effect"])
def test_an_entry_that_cannot_be_honoured_ends_all_trust(fed: Fed, field: str) -> None:
    """In a delta, and in the snapshot that follows."""
    bad = delta(message(11, NOW), 10)
    bad.delta.entries.append(unknown(field))
    with pytest.raises(FeedBroken):
        fed.reader.apply(bad)
    assert not fed.fresh()
    assert fed.open() == pb.WatchTrustRequest()
    again = snapshot(message(11, NOW), [], [key_message()])
    again.snapshot.entries.append(unknown(field))
    with pytest.raises(FeedBroken):
        fed.reader.apply(again)
    assert not fed.fresh()
    fed.open()
    fed.reader.apply(snapshot(message(12, NOW), [], [key_message()]))
    assert fed.fresh()


def test_a_reason_that_is_not_known_is_only_for_people(fed: Fed) -> None:
    odd = entry_message(entry(11, TrustEntryKind.SESSION, "s2"))
    odd.reason = 99  # type: ignore[assignment]
    newer = delta(message(11, NOW), 10)
    newer.delta.entries.append(odd)
    fed.reader.apply(newer)
    assert fed.kills("s2")


def test_an_event_that_is_not_known_ends_all_trust(fed: Fed) -> None:
    with pytest.raises(FeedBroken):
        fed.reader.apply(message(10, NOW))
    assert not fed.fresh()


def test_other_keys_are_told_of(fed: Fed) -> None:
    fed.reader.apply(delta(message(10, NOW), 10, keys=[key_message(), key_message("k2")]))
    assert fed.said == ["keys"]
    assert "k2" in fed.trust.keys
    fed.reader.apply(delta(message(10, NOW), 10, keys=[key_message(public_key=b"other")]))
    assert fed.said == ["keys", "log"]


def test_keys_of_another_server_count_though_its_reading_seems_older(fed: Fed) -> None:
    """They come once, with the first delta of a stream; its clock is behind and far away."""
    fed.hand.advance(1)
    fed.reader.apply(heartbeat(message(10, NOW + 1)))
    held = fed.trust.read_time
    fed.open()
    fed.hand.advance(0.2)
    other = delta(message(10, NOW + 0.9, NOW + 0.95), 10, keys=[key_message("k2")])
    fed.reader.apply(other)
    assert list(fed.trust.keys) == ["k2"]
    assert fed.trust.read_time == held


def test_an_older_snapshot_is_not_taken(fed: Fed) -> None:
    """That of a node which lags behind."""
    fed.open()
    fed.hand.advance(4)
    fed.reader.apply(snapshot(message(9, NOW + 4), [], [key_message()]))
    assert fed.trust.revision == 10
    assert fed.kills("s1")
    fed.hand.advance(2)
    assert not fed.fresh()


def test_freshness_counts_from_before_the_question() -> None:
    """A connection that took long: the server's clock may be anywhere in between."""
    fed = Fed()
    fed.open()
    fed.hand.advance(3)
    fed.reader.apply(snapshot(message(10, NOW), [], [key_message()]))
    assert fed.fresh()
    fed.hand.advance(2.01)
    assert not fed.fresh()


def test_another_server_is_judged_by_its_own_clock(fed: Fed) -> None:
    """Its clock is 3 s ahead, and its first message took 6 s: it may have read the log then."""
    fed.open()
    fed.hand.advance(6)
    fed.reader.apply(heartbeat(message(10, NOW + 3, NOW + 3)))
    assert not fed.fresh()
    fed.open()
    fed.reader.apply(heartbeat(message(10, NOW + 9, NOW + 9)))
    assert fed.fresh()


def test_a_reading_by_a_clock_set_forward_is_no_younger_for_it(fed: Fed) -> None:
    """The log was read 3 s ago, and the clock was set forward by 3 s since."""
    fed.hand.advance(4)
    fed.reader.apply(heartbeat(message(10, NOW + 4, NOW + 7)))
    assert fed.fresh()
    fed.hand.advance(2.01)
    assert not fed.fresh()


def test_a_server_clock_set_forward_makes_nothing_fresher(fed: Fed) -> None:
    fed.hand.advance(4)
    fed.reader.apply(heartbeat(message(10, NOW, NOW + 3600)))
    fed.hand.advance(1.5)
    assert not fed.fresh()
    fed.open()
    fed.reader.apply(heartbeat(message(10, NOW + 3601, NOW + 3601)))
    assert fed.fresh()
    assert fed.hand.clock.uncertainty() < 0.1
