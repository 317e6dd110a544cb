"""TrustFeed: what counts as fresh, and in which order a reading takes effect."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from token_service.domain.errors import Reason, TokenServiceError, store_unavailable
from token_service.domain.trust_reading import TrustReading
from token_service.usecases.trust_feed import TrustFeed
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

    def __init__(self, clock: HandClock) -> None:
        self.clock = clock
        self.keys: list[TrustKey] = [KEY]
        self.keys_fail = False
        self.down = False
        self.reading = TrustReading("e1", 0, 0, 0, 1, (), 0, clock.seconds, 0.0, 0.0)
        self.feed = TrustFeed(clock, "https://issuer.example", 5.0)
        self.feed.follow(self.refresh, self.load_keys)

    async def refresh(self) -> None:
        if self.down:
            raise store_unavailable()
        await self.feed.apply(replace(self.reading, sent_boot=self.clock.seconds))

    async def load_keys(self, keys_version: int) -> None:
        if self.keys_fail:
            raise store_unavailable()
        self.feed.apply_keys(self.keys, keys_version)

    def revoke(self, session_id: str) -> None:
        revision = self.reading.revision + 1
        entry = TrustEntry(
            revision,
            TrustEntryKind.SESSION,
            session_id,
            "",
            TrustEffect.REVOKE,
            self.clock.seconds + 360,
            RevocationReason.LOGOUT,
        )
        self.reading = replace(
            self.reading, revision=revision, entries=(*self.reading.entries, entry)
        )


@pytest.fixture
def log() -> Log:
    return Log(HandClock())


def reason(caught: pytest.ExceptionInfo[TokenServiceError]) -> Reason:
    return caught.value.reason


async def test_nothing_is_fresh_before_the_first_reading(log: Log) -> None:
    assert not log.feed.is_fresh()
    log.down = True
    with pytest.raises(TokenServiceError) as caught:
        await log.feed.require_fresh()
    assert reason(caught) is Reason.STORE_UNAVAILABLE


async def test_a_reading_is_fresh_until_the_limit(log: Log) -> None:
    await log.refresh()
    log.clock.seconds += 5.0
    assert log.feed.is_fresh()
    log.clock.seconds += 0.001
    assert not log.feed.is_fresh()


async def test_a_stale_view_reads_the_log_itself(log: Log) -> None:
    await log.refresh()
    log.clock.seconds += 60
    log.revoke("s1")
    await log.feed.require_fresh()
    assert log.feed.state.revision == 1


async def test_min_revision_is_read_up_to_and_never_beyond_the_head(log: Log) -> None:
    await log.refresh()
    log.revoke("s1")
    await log.feed.require_fresh(1)
    assert log.feed.state.revision == 1
    with pytest.raises(TokenServiceError) as caught:
        await log.feed.require_fresh(2)
    assert reason(caught) is Reason.REVISION_UNKNOWN


async def test_without_its_keys_a_reading_revokes_but_is_not_fresh(log: Log) -> None:
    await log.refresh()
    log.clock.seconds += 4
    log.revoke("s1")
    log.reading = replace(log.reading, keys_version=2)
    log.keys_fail = True
    with pytest.raises(TokenServiceError):
        await log.refresh()
    assert log.feed.state.revision == 1
    log.clock.seconds += 2
    assert not log.feed.is_fresh()
    log.keys_fail = False
    log.keys.append(replace(KEY, kid="k2"))
    await log.refresh()
    assert log.feed.is_fresh()
    assert set(log.feed.state.keys) == {"k1", "k2"}


async def test_a_new_epoch_keeps_what_was_revoked(log: Log) -> None:
    log.revoke("s1")
    await log.refresh()
    log.reading = replace(log.reading, epoch="e2", revision=1_000_001, since_revision=1, entries=())
    await log.refresh()
    assert log.feed.state.epoch == "e2"
    assert [entry.id for entry in log.feed.state.live_entries()] == ["s1"]


async def test_watchers_wake_on_entries_and_on_keys(log: Log) -> None:
    await log.refresh()

    def new_keys() -> None:
        log.reading = replace(log.reading, keys_version=9)

    def new_entry() -> None:
        log.revoke("s1")

    for change in (new_entry, new_keys):
        waiting = asyncio.create_task(log.feed.changed(30))
        await asyncio.sleep(0)
        change()
        await log.refresh()
        assert await waiting
    assert not await log.feed.changed(0.0)


async def test_listeners_hear_versions_before_anything_is_answered(log: Log) -> None:
    heard: list[int] = []
    log.feed.follow(
        log.refresh, log.load_keys, lambda reading: heard.append(reading.config_version)
    )
    log.reading = replace(log.reading, config_version=7)
    await log.feed.require_fresh()
    assert heard == [7]
