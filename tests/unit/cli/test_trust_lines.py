"""What people read of the trust feed."""

from datetime import UTC, datetime

from token_service.cli.commands.trust import lines_of
from tokenservice import (
    FeedDelta,
    FeedEntry,
    FeedHeartbeat,
    FeedKey,
    FeedMessage,
    FeedSnapshot,
    KeyState,
    RevocationReason,
    TrustEffect,
    TrustEntryKind,
)

READ = datetime.fromtimestamp(60, UTC)


def message(
    revision: int, part: FeedSnapshot | FeedDelta | FeedHeartbeat, epoch: str = ""
) -> FeedMessage:
    return FeedMessage(
        epoch=epoch,
        revision=revision,
        read_time=READ,
        server_time=READ,
        issuer="",
        snapshot=part if isinstance(part, FeedSnapshot) else None,
        delta=part if isinstance(part, FeedDelta) else None,
        heartbeat=part if isinstance(part, FeedHeartbeat) else None,
    )


def test_a_snapshot_names_its_log_its_keys_and_its_entries() -> None:
    entry = FeedEntry(
        revision=7,
        kind=TrustEntryKind.SUBJECT_DEVICE,
        id="someone",
        device_id="phone\x1b[0m",
        effect=TrustEffect.REVOKE,
        keep_until=READ,
        reason=RevocationReason.LOST_DEVICE,
    )
    key = FeedKey("k", "EdDSA", b"", False, KeyState.ACTIVE)
    snapshot = FeedSnapshot((key,), (entry,), last=True)
    assert list(lines_of(message(7, snapshot, "e"))) == [
        "1970-01-01 00:01:00Z  revision 7  snapshot of log e",
        "  key k EdDSA active",
        "  7: revoke subject_device someone phone\x1b[0m (lost_device)",
    ]


def test_a_delta_says_where_it_begins_and_a_heartbeat_that_it_beats() -> None:
    delta = FeedDelta(8, (), (), keys_changed=False)
    assert [*lines_of(message(9, delta)), *lines_of(message(9, FeedHeartbeat()))] == [
        "1970-01-01 00:01:00Z  revision 9  changes after 8",
        "1970-01-01 00:01:00Z  revision 9  heartbeat",
    ]
