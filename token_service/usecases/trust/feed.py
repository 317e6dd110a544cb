"""This node's view of the trust log, for its own Validate and for everybody who watches it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.ports import Clock
from token_service.domain.trust.reading import TrustReading
from tokenservice.core import TrustKey, TrustSnapshot, TrustState

Refresh = Callable[[], Awaitable[None]]
"""Reads the log once, starting after the call; raises STORE_UNAVAILABLE."""

LoadKeys = Callable[[int], Awaitable[None]]
"""Reads all keys as of a keys version or later, makes them usable on this node, and calls
`apply_keys` with what is published of them."""

ReadingListener = Callable[[TrustReading], None]
"""Told of each reading: versions that other caches follow."""

Moved = Callable[[], None]
"""Told that revision or keys have moved; returns at once and does not fail."""


PART = 1_000
"""Entries of another log that are taken over at a time."""


_LONG_AGO = 0.0


class TrustFeed:
    """Holds the trust state (implements ports.Trust) and tells watchers when it moves.

    Nothing here decides; it makes sure that what decides is fresh. A reading that announces keys
    which are not loaded yet does not count as fresh, so a node never answers from keys older than
    its limit.
    """

    def __init__(
        self,
        clock: Clock,
        issuer: str,
        staleness_limit: float,
        may_forget: Callable[[], bool] = lambda: True,
        proves: Callable[[TrustReading], bool] = lambda _: True,
    ) -> None:
        """A reading that `proves` nothing of the primary is taken over, and counts as old."""
        self.state = TrustState()
        self.issuer = issuer
        self.keys_serial = 0
        self.acknowledged = 0
        """The highest revision that was acknowledged to this node, whether it was read or not."""
        self._clock = clock
        self._limit = staleness_limit
        self._may_forget = may_forget
        self._proves = proves
        self._keys: tuple[TrustKey, ...] = ()
        self._keys_version = -1
        self._refresh: Refresh | None = None
        self._load_keys: LoadKeys | None = None
        self._listeners: tuple[ReadingListener, ...] = ()
        self._watchers: tuple[Moved, ...] = ()

    # --- fed by the follower ---

    def follow(self, refresh: Refresh, load_keys: LoadKeys, *listeners: ReadingListener) -> None:
        """Wire the follower's refresh, the keys, and those who follow the log's versions."""
        self._refresh = refresh
        self._load_keys = load_keys
        self._listeners = listeners

    async def apply(self, reading: TrustReading) -> None:
        """Take over one reading of the log; entries at once, freshness when the keys are too."""
        for listener in self._listeners:
            listener(reading)
        # Freshness counts from the primary's last sign of life, on the clock of the verdicts.
        read_time = self._clock.unix_at(reading.beaten_boot)
        if not self._proves(reading):
            read_time = max(self.state.read_time, _LONG_AGO)
        snapshot = None
        if reading.epoch != self.state.epoch:
            snapshot = await self._snapshot(reading)
            # A restored backup may count on from below: its versions compare with none of ours.
            self._keys_version = -1
        if reading.keys_version <= self._keys_version:
            self._take(reading, read_time, snapshot)
            return
        if snapshot is None:
            self._take(reading, self.state.read_time)
        if self._load_keys is not None:
            await self._load_keys(reading.keys_version)
        if reading.keys_version <= self._keys_version:
            self._take(reading, read_time, snapshot)

    async def _snapshot(self, reading: TrustReading) -> TrustSnapshot:
        """The state after a reading of another log, put together without keeping the loop busy
        for longer than a part takes: the log may be long."""
        known = [] if reading.since_revision == 0 else self.state.live_entries()
        snapshot = TrustSnapshot()
        for entries in (known, reading.entries):
            for start in range(0, len(entries), PART):
                snapshot.add((), entries[start : start + PART])
                await asyncio.sleep(0)
        return snapshot

    def apply_keys(self, keys: Sequence[TrustKey], keys_version: int) -> None:
        """Publish `keys`, which are those of `keys_version` or later, from now on."""
        self._keys = tuple(keys)
        self._keys_version = max(keys_version, self._keys_version)
        self.keys_serial += 1
        self.state.view.set_keys(self._keys)
        self._wake()

    def _take(
        self, reading: TrustReading, read_time: float, snapshot: TrustSnapshot | None = None
    ) -> None:
        state = self.state
        before = (state.epoch, state.revision)
        if state.read_time > self._clock.unix():
            # The primary's clock was set back. This reading is the later one all the same.
            state.read_time = read_time
        if snapshot is not None:
            snapshot.add(self._keys, ())
            state.adopt(snapshot, reading.epoch, self.issuer, reading.revision, read_time)
        else:
            state.apply_delta(
                reading.epoch,
                reading.since_revision,
                reading.revision,
                read_time,
                reading.entries,
            )
        if self._may_forget():
            state.prune(self._clock.unix())
        if before != (state.epoch, state.revision):
            self._wake()

    def _wake(self) -> None:
        for moved in self._watchers:
            moved()

    # --- read by watchers and use cases ---

    def watch(self, moved: Moved) -> None:
        """Call `moved` from now on, whenever revision or keys do."""
        self._watchers += (moved,)

    def is_fresh(self, now: float | None = None) -> bool:
        """See ports.Trust."""
        return self.state.is_fresh(self._clock.unix() if now is None else now, self._limit)

    async def require_fresh(self, min_revision: int = 0) -> None:
        """See ports.Trust. The warm path tests `is_fresh` itself and does not come here."""
        if min_revision <= self.state.revision and self.is_fresh():
            return
        if self._refresh is not None:
            await self._refresh()
        if not self.is_fresh():
            raise TokenServiceError(Reason.TRUST_STALE, "the trust log cannot be read")
        if min_revision > self.state.revision:
            raise TokenServiceError(
                Reason.REVISION_UNKNOWN,
                "min_revision lies above the head of the trust log",
                field="min_revision",
            )

    async def reach(self, revision: int) -> None:
        """See ports.Trust."""
        self.acknowledged = max(self.acknowledged, revision)
        if self.state.revision < revision and self._refresh is not None:
            try:
                await self._refresh()
            except TokenServiceError:
                return  # committed all the same; this node denies once its view is too old
