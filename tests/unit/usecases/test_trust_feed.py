"""TrustFeed: what counts as fresh, and in which order a reading takes effect."""

from dataclasses import replace

import pytest

from tests.unit.trust_log import KEY, HandClock, Log
from token_service.domain.errors import Reason, TokenServiceError


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


async def test_a_new_epoch_brings_its_keys_although_their_version_is_lower(log: Log) -> None:
    """A backup from before a failover: its versions, lifted by one epoch, may be below ours."""
    log.reading = replace(log.reading, keys_version=1_000_006)
    await log.refresh()
    log.keys = [replace(KEY, kid="restored")]
    log.reading = replace(log.reading, epoch="e2", revision=2_000_001, keys_version=1_000_004)
    await log.refresh()
    assert set(log.feed.state.keys) == {"restored"}
    log.keys = [replace(KEY, kid="next")]
    log.reading = replace(log.reading, keys_version=1_000_005)
    await log.refresh()
    assert set(log.feed.state.keys) == {"next"}


async def test_watchers_hear_of_entries_and_of_keys_and_of_nothing_else(log: Log) -> None:
    await log.refresh()
    heard: list[int] = []
    log.feed.watch(lambda: heard.append(log.feed.state.revision))
    await log.refresh()
    assert heard == []
    log.revoke("s1")
    await log.refresh()
    assert heard == [1]
    log.reading = replace(log.reading, keys_version=9)
    await log.refresh()
    assert heard == [1, 1]


async def test_listeners_hear_versions_before_anything_is_answered(log: Log) -> None:
    heard: list[int] = []
    log.feed.follow(
        log.refresh, log.load_keys, lambda reading: heard.append(reading.config_version)
    )
    log.reading = replace(log.reading, config_version=7)
    await log.feed.require_fresh()
    assert heard == [7]


async def test_a_clock_that_was_set_back_does_not_stop_the_service(log: Log) -> None:
    await log.refresh()
    log.clock.seconds -= 600
    assert not log.feed.is_fresh()
    await log.refresh()
    assert log.feed.is_fresh()
    log.clock.seconds += 5.001
    assert not log.feed.is_fresh()
