"""TrustService: the feed that local validators follow."""

import time
from collections.abc import AsyncGenerator, Callable

from token_service.domain.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, Permission
from token_service.domain.ports import Clock
from token_service.rpc.errors import unauthenticated
from token_service.rpc.mapping import checks
from token_service.rpc.mapping.trust import TrustEncoder, reported_activity
from token_service.usecases.activity import ReportActivity
from token_service.usecases.client_directory import ClientDirectory
from token_service.usecases.trust_feed import TrustFeed
from tokenservice.v1 import trust_service_pb2 as pb


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
        directory: ClientDirectory,
        heartbeat: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._feed = feed
        self._report_activity = report_activity
        self._clock = clock
        self._directory = directory
        self._heartbeat = heartbeat
        self._monotonic = monotonic
        self._encoder = TrustEncoder(feed)

    async def watch_trust(
        self, caller: Caller, request: pb.WatchTrustRequest
    ) -> AsyncGenerator[bytes, None]:
        """Snapshot (unless the watcher's own state can go on), then deltas and heartbeats."""
        if request.epoch:
            checks.uuid(request.epoch, "epoch")
        feed, config_version = self._feed, self._directory.version
        epoch, revision, keys_serial = request.epoch, request.from_revision, -1
        due = self._monotonic()
        while True:
            state = feed.state
            if config_version != self._directory.version:
                config_version = self._directory.version
                await self._require_allowed(caller)
            if state.epoch != epoch or revision > state.revision:
                epoch, revision, keys_serial = state.epoch, state.revision, feed.keys_serial
                for message in self._snapshot():
                    yield message
            elif revision < state.revision or keys_serial != feed.keys_serial:
                new_keys = keys_serial != feed.keys_serial
                event = self._encoder.delta(revision, with_keys=new_keys)
                revision, keys_serial = state.revision, feed.keys_serial
                yield self._encoder.head(self._clock.unix()) + event
            elif self._monotonic() >= due:
                yield self._encoder.head(self._clock.unix()) + self._encoder.heartbeat()
            else:
                await feed.changed(due - self._monotonic())
                continue
            due = self._monotonic() + self._heartbeat

    async def get_trust(
        self, caller: Caller, request: pb.GetTrustRequest
    ) -> AsyncGenerator[bytes, None]:
        """One snapshot."""
        del caller, request
        for message in self._snapshot():
            yield message

    async def report_activity(
        self, caller: Caller, request: pb.ReportActivityRequest
    ) -> pb.ReportActivityResponse:
        """Take over what a local validator saw."""
        await self._report_activity(caller, reported_activity(request))
        return pb.ReportActivityResponse()

    async def _require_allowed(self, caller: Caller) -> None:
        """A client that was disabled, or lost its permission, is not told any more."""
        found = await self._directory.find(caller.client_id)
        client = found[0] if found else None
        if client is None or client.state is not ClientState.ACTIVE:
            raise unauthenticated()
        if Permission.TRUST_WATCH not in client.policy.permissions:
            raise TokenServiceError(Reason.PERMISSION_MISSING, "permission trust.watch is missing")

    def _snapshot(self) -> list[bytes]:
        head = self._encoder.head(self._clock.unix())
        return [head + chunk for chunk in self._encoder.snapshot()]
