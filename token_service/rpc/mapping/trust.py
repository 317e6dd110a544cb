"""The trust feed, encoded: an event is serialised once for all who watch."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from token_service.domain.errors import invalid_field
from token_service.domain.ports import Clock
from token_service.rpc.mapping import checks
from token_service.usecases.trust.feed import TrustFeed
from tokenservice.core import TrustEntry, TrustKey, TrustState
from tokenservice.core.bounded_cache import put_bounded
from tokenservice.core.limits import MAX_ACTIVITIES
from tokenservice.v1 import trust_service_pb2 as pb

CHUNK = 1_000
"""Entries per snapshot chunk."""

KEPT_DELTAS = 64

HEAD_SECONDS = 0.005
"""How old the time of sending in a message may be."""

REPORT_INTERVAL = timedelta(minutes=1)
"""Of validators that do not say."""

SNAPSHOT_SECONDS = 60.0
"""How long a snapshot is used again: what need not be told any more drops out of the next."""


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


def report_interval(message: pb.ReportActivityRequest) -> timedelta:
    """How often the validator reports a session, at most."""
    if not message.HasField("interval"):
        return REPORT_INTERVAL
    return checks.duration(message.interval, "interval")


def duration(value: timedelta) -> Duration:
    """Map a duration."""
    message = Duration()
    message.FromTimedelta(value)
    return message


class TrustEncoder:
    """Makes WatchTrustResponse (and GetTrustResponse, whose fields agree) messages as bytes.

    Everything is encoded once for all watchers: the event, and the head with its times, which is
    made anew as soon as the log was read again, and at least every `HEAD_SECONDS`.
    """

    def __init__(self, feed: TrustFeed, clock: Clock) -> None:
        self._feed = feed
        self._clock = clock
        self._head = b""
        self._head_of: tuple[str, int, float] = ("", 0, 0.0)
        self._head_until = 0.0
        self._deltas: dict[tuple[str, int, int, bool, int], bytes] = {}

    def head(self) -> bytes:
        """Epoch, revision, times and issuer of a message about the state as it is now."""
        state, now = self._feed.state, self._clock.unix()
        about = (state.epoch, state.revision, state.read_time)
        if about != self._head_of or not self._head_until - HEAD_SECONDS <= now < self._head_until:
            self._head = self.head_of(*about)
            self._head_of, self._head_until = about, now + HEAD_SECONDS
        return self._head

    def head_of(self, epoch: str, revision: int, read_time: float) -> bytes:
        """The same for another state."""
        return pb.WatchTrustResponse(
            epoch=epoch,
            revision=revision,
            read_time=_timestamp(read_time),
            server_time=_timestamp(self._clock.unix()),
            issuer=self._feed.issuer,
        ).SerializeToString()

    def heartbeat(self) -> bytes:
        """Nothing new."""
        return self.head() + _HEARTBEAT

    def delta(self, from_revision: int, *, with_keys: bool) -> bytes:
        """The entries above `from_revision`, and the keys if they changed.

        A watcher's first message, by which it relates the clocks, has the keys: then the server's
        time is read now.
        """
        feed = self._feed
        state = feed.state
        key = (state.epoch, from_revision, state.revision, with_keys, feed.keys_serial)
        found = self._deltas.get(key)
        if found is None:
            message = pb.WatchTrustResponse()
            delta = message.delta
            delta.from_revision = from_revision
            for entry in state.entries_between(from_revision, state.revision):
                _fill(delta.entries.add(), entry)
            if with_keys:
                delta.keys.extend(_keys(state))
                delta.keys_changed = True
            found = message.SerializeToString()
            put_bounded(self._deltas, key, found, KEPT_DELTAS)
        if with_keys:
            return self.head_of(state.epoch, state.revision, state.read_time) + found
        return self.head() + found


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A state of the feed, encoded but for the heads of its chunks. `read_time` is when the log
    was last seen to be at `revision`, as far as was known at the time `made_at`."""

    epoch: str
    revision: int
    read_time: float
    keys_serial: int
    made_at: float
    chunks: tuple[bytes, ...]


class SnapshotEncoder:
    """Makes snapshots, each at most once at a time and for all who want one, without keeping the
    loop busy for longer than a chunk takes."""

    def __init__(self, feed: TrustFeed, encoder: TrustEncoder, clock: Clock) -> None:
        self._feed = feed
        self._encoder = encoder
        self._clock = clock
        self._made = Snapshot(
            epoch="", revision=0, read_time=0.0, keys_serial=-1, made_at=-inf, chunks=()
        )
        self._making = asyncio.Lock()

    async def at_most_behind(self, revisions: int) -> Snapshot:
        """One that lacks no more than so many revisions of what the feed has when asked."""
        feed, wanted = self._feed, self._feed.state.revision - revisions
        async with self._making:
            made = self._made
            age = self._clock.unix() - made.made_at
            same = made.epoch == feed.state.epoch and wanted <= made.revision
            if not same or not 0 <= age <= SNAPSHOT_SECONDS:
                made = self._made = await self._make()
            return made

    def messages(self, snapshot: Snapshot) -> Iterator[bytes]:
        """The chunks with their heads. A state that is not the feed's any more is as old as it
        was: who has applied it is fresh only after the delta that has to follow."""
        for chunk in snapshot.chunks:
            state = self._feed.state
            current = (state.epoch, state.revision) == (snapshot.epoch, snapshot.revision)
            read_time = state.read_time if current else snapshot.read_time
            yield self._encoder.head_of(snapshot.epoch, snapshot.revision, read_time) + chunk

    async def _make(self) -> Snapshot:
        feed = self._feed
        state = feed.state
        epoch, revision, read_time = state.epoch, state.revision, state.read_time
        serial, keys, entries = feed.keys_serial, list(_keys(state)), state.live_entries()
        now = self._clock.unix()
        starts = range(0, max(1, len(entries)), CHUNK)
        chunks = []
        for start in starts:
            message = pb.WatchTrustResponse()
            message.snapshot.keys.extend(() if start else keys)
            for entry in entries[start : start + CHUNK]:
                _fill(message.snapshot.entries.add(), entry)
            message.snapshot.last = start == starts[-1]
            chunks.append(message.SerializeToString())
            await asyncio.sleep(0)
        return Snapshot(
            epoch=epoch,
            revision=revision,
            read_time=read_time,
            keys_serial=serial,
            made_at=now,
            chunks=tuple(chunks),
        )


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


def _fill(message: pb.TrustEntry, entry: TrustEntry) -> None:
    """In place and field by field, which takes a quarter of the time: there may be many."""
    message.revision = entry.revision
    message.kind = checks.wire(entry.kind)
    message.id = entry.id
    message.device_id = entry.device_id
    message.effect = checks.wire(entry.effect)
    message.reason = checks.wire(entry.reason)
    whole = int(entry.keep_until)
    message.keep_until.seconds = whole
    message.keep_until.nanos = int((entry.keep_until - whole) * 1_000_000_000)


def _timestamp(seconds: float) -> Timestamp:
    whole = int(seconds // 1)
    return Timestamp(seconds=whole, nanos=int((seconds - whole) * 1_000_000_000))
