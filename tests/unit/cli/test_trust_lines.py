"""What people read of the trust feed."""

from google.protobuf.timestamp_pb2 import Timestamp

from token_service.cli.trust import lines_of
from tokenservice.v1 import trust_service_pb2 as pb
from tokenservice.v1 import types_pb2

READ = Timestamp(seconds=60)


def test_a_snapshot_names_its_log_its_keys_and_its_entries() -> None:
    entry = pb.TrustEntry(
        revision=7,
        kind=pb.TRUST_ENTRY_KIND_SUBJECT_DEVICE,
        id="someone",
        device_id="phone\x1b[0m",
        effect=pb.TRUST_EFFECT_REVOKE,
        reason=types_pb2.REVOCATION_REASON_LOST_DEVICE,
    )
    key = pb.TrustKey(kid="k", alg="EdDSA", state=types_pb2.KEY_STATE_ACTIVE)
    snapshot = pb.TrustSnapshotChunk(keys=[key], entries=[entry], last=True)
    message = pb.WatchTrustResponse(epoch="e", revision=7, read_time=READ, snapshot=snapshot)
    assert list(lines_of(message)) == [
        "1970-01-01 00:01:00Z  revision 7  snapshot of log e",
        "  key k EdDSA active",
        "  7: revoke subject_device someone phone\x1b[0m (lost_device)",
    ]


def test_a_delta_says_where_it_begins_and_a_heartbeat_that_it_beats() -> None:
    delta = pb.WatchTrustResponse(revision=9, read_time=READ, delta=pb.TrustDelta(from_revision=8))
    beat = pb.WatchTrustResponse(revision=9, read_time=READ, heartbeat=pb.TrustHeartbeat())
    assert [*lines_of(delta), *lines_of(beat)] == [
        "1970-01-01 00:01:00Z  revision 9  changes after 8",
        "1970-01-01 00:01:00Z  revision 9  heartbeat",
    ]
