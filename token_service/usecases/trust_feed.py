"""This node's view of the trust log, for its own Validate and for everybody who watches it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.ports import Clock
from token_service.domain.trust_reading import TrustReading
from tokenservice.core import TrustKey, TrustState

Refresh = Callable[[], Awaitable[None]]
"""Reads the log once, starting after the call; raises STORE_UNAVAILABLE."""

ReadingListener = Callable[[TrustReading], None]
"""Told after each reading: versions that other caches follow."""


class TrustFeed:
    """Holds the trust state (implements ports.Trust) and wakes watchers when it moves.

    Nothing here decides; it makes sure that what decides is fresh. Keys are applied by
    `apply_keys` once they were loaded; a reading that announces keys not loaded yet does not
    count as fresh, so a node never answers from keys older than its limit.
    """

    def __init__(self, clock: Clock, issuer: str, staleness_limit: float) -> None:
        self.state = TrustState()
        self.issuer = issuer
        self.keys_serial = 0
        self._clock = clock
        self._limit = staleness_limit
        self._keys: tuple[TrustKey, ...] = ()
        self._keys_version = -1
        self._wanted_keys_version = -1
        self._refresh: Refresh | None = None
        self._listeners: list[ReadingListener] = []
        self._changed = asyncio.Event()

    # --- fed by the follower --------------------------------------------------------------

    def follow(self, refresh: Refresh, *listeners: ReadingListener) -> None:
        """Wire the follower's refresh and those who follow its versions."""
        self._refresh = refresh
        self._listeners.extend(listeners)

    def apply(self, reading: TrustReading) -> None:
        """Take over one reading of the log."""
        before = (self.state.epoch, self.state.revision)
        self._wanted_keys_version = reading.keys_version
        in_step = reading.keys_version == self._keys_version
        read_time = reading.db_time if in_step else self.state.read_time
        if reading.epoch != self.state.epoch:
            if not in_step:
                self._tell(reading)  # the first keys are still being loaded
                return
            entries = [*self.state.live_entries(), *reading.entries]
            self.state.apply_snapshot(
                reading.epoch, self.issuer, reading.revision, read_time, self._keys, entries
            )
        else:
            self.state.apply_delta(
                reading.epoch,
                reading.since_revision,
                reading.revision,
                read_time,
                reading.entries,
            )
        self.state.prune(self._clock.unix())
        self._tell(reading)
        if before != (self.state.epoch, self.state.revision):
            self._wake()

    def apply_keys(self, keys: Sequence[TrustKey], keys_version: int) -> None:
        """The keys as of `keys_version` are loaded and published from now on."""
        if keys_version <= self._keys_version:
            return
        self._keys = tuple(keys)
        self._keys_version = keys_version
        if self.state.epoch:
            self.state.view.set_keys(self._keys)
        self.keys_serial += 1
        self._wake()

    @property
    def keys_wanted(self) -> bool:
        """Whether the log announced keys that were not loaded yet."""
        return self._wanted_keys_version > self._keys_version

    def _tell(self, reading: TrustReading) -> None:
        for listener in self._listeners:
            listener(reading)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # --- read by watchers and use cases ---------------------------------------------------

    async def changed(self, within: float) -> bool:
        """Wait until revision or keys move, at most `within` seconds; False when it passed."""
        event = self._changed
        try:
            async with asyncio.timeout(within):
                await event.wait()
        except TimeoutError:
            return False
        return True

    def is_fresh(self) -> bool:
        """Whether the view is within the staleness limit now."""
        return self.state.is_fresh(self._clock.unix(), self._limit)

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
        if self.state.revision < revision and self._refresh is not None:
            try:
                await self._refresh()
            except TokenServiceError:
                return  # committed all the same; this node denies once its view is too old
