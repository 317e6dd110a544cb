"""A trust log that tests write by hand, and the feed that follows it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from token_service.domain.errors import store_unavailable
from token_service.domain.trust.reading import Lineage, TrustReading
from token_service.usecases.trust.feed import TrustFeed
from tokenservice.core import (
    KeyState,
    RevocationReason,
    TrustEffect,
    TrustEntry,
    TrustEntryKind,
    TrustKey,
)

KEY = TrustKey("k1", "EdDSA", b"der", False, KeyState.ACTIVE)


class HandClock:
    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def unix(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def unix_at(self, boot: float) -> float:
        return boot


class Log:
    """A log that tests write by hand, and its keys."""

    def __init__(
        self, clock: HandClock, proves: Callable[[TrustReading], bool] = lambda _: True
    ) -> None:
        self.clock = clock
        self.keys: list[TrustKey] = [KEY]
        self.keys_fail = False
        self.down = False
        self.reading = TrustReading(
            epoch="e1",
            revision=0,
            valid_rev=0,
            config_version=0,
            keys_version=1,
            entries=(),
            since_revision=0,
            db_time=clock.seconds,
            sent_boot=0.0,
            received_boot=0.0,
            beat=1,
            beaten_boot=0.0,
            synchronous=True,
            server=Lineage(1, 1),
            recorded=Lineage(1, 1),
        )
        self.feed = TrustFeed(clock, "https://issuer.example", 5.0, proves=proves)
        self.feed.follow(self.refresh, self.load_keys)

    async def refresh(self) -> None:
        if self.down:
            raise store_unavailable()
        await self.feed.apply(replace(self.reading, beaten_boot=self.clock.seconds))

    async def load_keys(self, keys_version: int) -> None:
        if self.keys_fail:
            raise store_unavailable()
        self.feed.apply_keys(self.keys, keys_version)

    def revoke(self, session_id: str) -> None:
        revision = self.reading.revision + 1
        entry = TrustEntry(
            revision=revision,
            kind=TrustEntryKind.SESSION,
            id=session_id,
            device_id="",
            effect=TrustEffect.REVOKE,
            keep_until=self.clock.seconds + 360,
            reason=RevocationReason.LOGOUT,
        )
        self.reading = replace(
            self.reading, revision=revision, entries=(*self.reading.entries, entry)
        )
