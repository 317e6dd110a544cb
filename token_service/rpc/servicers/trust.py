"""TrustService: the feed that local validators follow."""

from collections.abc import AsyncGenerator

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, Permission
from token_service.domain.ports import Clock
from token_service.rpc.errors import unauthenticated
from token_service.rpc.mapping import checks
from token_service.rpc.mapping.trust import (
    SnapshotEncoder,
    TrustEncoder,
    duration,
    report_interval,
    reported_activity,
)
from token_service.usecases.clients.cache import ClientCache
from token_service.usecases.tokens.activity import ReportActivity
from token_service.usecases.trust.feed import TrustFeed
from token_service.usecases.wakeups import Wakeups
from tokenservice.v1 import trust_service_pb2 as pb

MAX_DELTA = 5_000
"""Who lacks more revisions gets a snapshot."""

SPARE = 1_000
"""So many revisions may a snapshot lack that was made before; the delta after it brings them."""


class TrustServicer:
    """Streams the trust state; each watcher is where it is, and what it missed is merged.

    `heartbeat` is in seconds. Nothing is queued per watcher: a slow one gets one delta with all
    that happened meanwhile.
    """

    def __init__(
        self,
        feed: TrustFeed,
        report_activity: ReportActivity,
        clock: Clock,
        client_cache: ClientCache,
        heartbeat: float,
    ) -> None:
        self._feed = feed
        self._report_activity = report_activity
        self._client_cache = client_cache
        self._encoder = TrustEncoder(feed, clock)
        self._snapshots = SnapshotEncoder(feed, self._encoder, clock)
        self._wakeups = Wakeups(heartbeat)
        feed.watch(self._wakeups.wake)

    async def watch_trust(
        self, caller: Caller, request: pb.WatchTrustRequest
    ) -> AsyncGenerator[bytes, None]:
        """Snapshot (unless the watcher's own state can go on), then deltas and heartbeats."""
        if request.epoch:
            checks.uuid(request.epoch, "epoch")
        feed, encoder, config_version = self._feed, self._encoder, self._client_cache.version
        epoch, revision, keys_serial = request.epoch, request.from_revision, -1
        sleeper = self._wakeups.join()
        try:
            while True:
                state = feed.state
                if config_version != self._client_cache.version:
                    config_version = self._client_cache.version
                    await self._require_allowed(caller)
                elif epoch != state.epoch or not 0 <= state.revision - revision <= MAX_DELTA:
                    snapshot = await self._snapshots.at_most_behind(SPARE)
                    epoch, revision = snapshot.epoch, snapshot.revision
                    keys_serial = snapshot.keys_serial
                    for message in self._snapshots.messages(snapshot):
                        yield message
                elif revision < state.revision or keys_serial != feed.keys_serial:
                    message = encoder.delta(revision, with_keys=keys_serial != feed.keys_serial)
                    revision, keys_serial = state.revision, feed.keys_serial
                    sleeper.due = False
                    yield message
                elif sleeper.due:
                    sleeper.due = False
                    yield encoder.heartbeat()
                else:
                    await sleeper.wait()
        finally:
            self._wakeups.leave(sleeper)

    async def get_trust(
        self, caller: Caller, request: pb.GetTrustRequest
    ) -> AsyncGenerator[bytes, None]:
        """One snapshot."""
        del caller, request
        for message in self._snapshots.messages(await self._snapshots.at_most_behind(0)):
            yield message

    async def report_activity(
        self, caller: Caller, request: pb.ReportActivityRequest
    ) -> pb.ReportActivityResponse:
        """Take over what a local validator saw."""
        interval = report_interval(request)
        shorter = await self._report_activity(caller, reported_activity(request), interval)
        return pb.ReportActivityResponse(
            intervals=[
                pb.ReportInterval(session_id=str(session_id), interval=duration(own))
                for session_id, own in shorter.items()
            ]
        )

    async def _require_allowed(self, caller: Caller) -> None:
        """A client that was disabled, or lost its permission, is not told any more."""
        found = await self._client_cache.find(caller.client_id)
        client = found[0] if found else None
        if client is None or client.state is not ClientState.ACTIVE:
            raise unauthenticated()
        if Permission.TRUST_WATCH not in client.policy.permissions:
            raise TokenServiceError(Reason.PERMISSION_MISSING, "permission trust.watch is missing")
