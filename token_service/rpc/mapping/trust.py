"""The trust feed, encoded: an event is serialised once for all who watch."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from token_service.domain.errors import invalid_field
from token_service.rpc.mapping import checks
from token_service.usecases.trust_feed import TrustFeed
from tokenservice.core import TrustEntry, TrustKey, TrustState
from tokenservice.v1 import trust_service_pb2 as pb

CHUNK = 1_000
"""Entries per snapshot chunk."""

KEPT_DELTAS = 64


MAX_ACTIVITIES = 1_000


def reported_activity(message: pb.ReportActivityRequest) -> list[tuple[UUID, datetime]]:
    """Check and map what a local validator saw."""
    activities = message.activities
    if not 1 <= len(activities) <= MAX_ACTIVITIES:
        raise invalid_field("activities", f"must have 1 to {MAX_ACTIVITIES} entries")
    seen = []
    for index, one in enumerate(activities):
        path = f"activities[{index}]"
        session_id = checks.uuid(one.session_id, f"{path}.session_id")
        if not one.HasField("last_activity_at"):
            raise invalid_field(f"{path}.last_activity_at", "must be given")
        at = checks.timestamp(one.last_activity_at, f"{path}.last_activity_at")
        seen.append((session_id, at))
    return seen


class TrustEncoder:
    """Makes WatchTrustResponse (and GetTrustResponse, whose fields agree) messages as bytes.

    What all watchers share, the event, is kept encoded; the head with its times is made for each
    message, since a validator measures freshness by it.
    """

    def __init__(self, feed: TrustFeed) -> None:
        self._feed = feed
        self._deltas: dict[tuple[str, int, int, bool, int], bytes] = {}
        self._snapshot: tuple[tuple[str, int, int], list[bytes]] | None = None

    def head(self, server_time: float) -> bytes:
        """Epoch, revision, times and issuer of a message about the state as it is now."""
        state = self._feed.state
        return pb.WatchTrustResponse(
            epoch=state.epoch,
            revision=state.revision,
            read_time=_timestamp(state.read_time),
            server_time=_timestamp(server_time),
            issuer=self._feed.issuer,
        ).SerializeToString()

    def heartbeat(self) -> bytes:
        """Nothing new."""
        return _HEARTBEAT

    def delta(self, from_revision: int, *, with_keys: bool) -> bytes:
        """The entries above `from_revision`, and the keys if they changed."""
        feed = self._feed
        state = feed.state
        key = (state.epoch, from_revision, state.revision, with_keys, feed.keys_serial)
        found = self._deltas.get(key)
        if found is None:
            if len(self._deltas) >= KEPT_DELTAS:
                self._deltas.clear()
            entries = state.entries_between(from_revision, state.revision)
            delta = pb.TrustDelta(
                from_revision=from_revision,
                entries=map(_entry, entries),
                keys=_keys(state) if with_keys else (),
                keys_changed=with_keys,
            )
            found = pb.WatchTrustResponse(delta=delta).SerializeToString()
            self._deltas[key] = found
        return found

    def snapshot(self) -> list[bytes]:
        """All that is live, in chunks; the first has the keys."""
        feed = self._feed
        state = feed.state
        key = (state.epoch, state.revision, feed.keys_serial)
        if self._snapshot is None or self._snapshot[0] != key:
            entries = state.live_entries()
            starts = range(0, max(1, len(entries)), CHUNK)
            chunks = [
                pb.TrustSnapshotChunk(
                    keys=() if start else _keys(state),
                    entries=map(_entry, entries[start : start + CHUNK]),
                    last=start == starts[-1],
                )
                for start in starts
            ]
            encoded = [pb.WatchTrustResponse(snapshot=one).SerializeToString() for one in chunks]
            self._snapshot = key, encoded
        return self._snapshot[1]


_HEARTBEAT = pb.WatchTrustResponse(heartbeat=pb.TrustHeartbeat()).SerializeToString()


def _keys(state: TrustState) -> Iterable[pb.TrustKey]:
    return (_key(key) for key in state.keys.values())


def _key(key: TrustKey) -> pb.TrustKey:
    return pb.TrustKey(
        kid=key.kid,
        alg=key.alg,
        public_key=key.public_key,
        server_only=key.server_only,
        state=checks.wire(key.state),
    )


def _entry(entry: TrustEntry) -> pb.TrustEntry:
    return pb.TrustEntry(
        revision=entry.revision,
        kind=checks.wire(entry.kind),
        id=entry.id,
        device_id=entry.device_id,
        effect=checks.wire(entry.effect),
        keep_until=_timestamp(entry.keep_until),
        reason=checks.wire(entry.reason),
    )


def _timestamp(seconds: float) -> Timestamp:
    whole = int(seconds // 1)
    return Timestamp(seconds=whole, nanos=int((seconds - whole) * 1_000_000_000))
