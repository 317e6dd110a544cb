"""The calls of PairingService for programs without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenservice._pairing.client import POLL_INTERVAL, WATCH_PATIENCE, PairingClient
from tokenservice._sync.face import SyncFace, waiting

if TYPE_CHECKING:
    from collections.abc import Generator
    from datetime import timedelta

    from tokenservice._pairing.values import PairingKey, PairingStatus
    from tokenservice._sync.connection import SyncConnection


class SyncPairingClient(SyncFace[PairingClient]):
    """The methods of :class:`PairingClient`, each waiting for its result; any thread may call."""

    def __init__(self, connection: SyncConnection) -> None:
        super().__init__(PairingClient(connection.asynchronous), connection.loop)

    def watch(
        self, key: PairingKey, *, patience: timedelta = WATCH_PATIENCE
    ) -> Generator[PairingStatus, None, None]:
        """Follow a pairing, each step waiting for the next change."""
        return self.iterated(self.asynchronous.watch(key, patience=patience))

    def poll(
        self, key: PairingKey, *, interval: timedelta = POLL_INTERVAL
    ) -> Generator[PairingStatus, None, None]:
        """Follow a pairing by asking, each step waiting for the next change."""
        return self.iterated(self.asynchronous.poll(key, interval=interval))

    start = waiting(PairingClient.start)
    get = waiting(PairingClient.get)
    scan = waiting(PairingClient.scan)
    approve = waiting(PairingClient.approve)
    deny = waiting(PairingClient.deny)
    cancel = waiting(PairingClient.cancel)
    collect = waiting(PairingClient.collect)
