"""Replication that ceases to be synchronous while the service runs."""

from dataclasses import replace

from structlog.testing import capture_logs

from tests.unit.trust_log import HandClock, Log
from token_service.usecases.trust.replication import ReplicationWatch


def told(required: bool, *synchronous: bool) -> tuple[ReplicationWatch, list[str]]:
    """The watch after such readings, and what it reported."""
    watch, reading = ReplicationWatch(required=required), Log(HandClock()).reading
    with capture_logs() as lines:
        for one in synchronous:
            watch(replace(reading, synchronous=one))
    return watch, [line["event"] for line in lines]


def test_each_change_is_reported_once() -> None:
    _, events = told(False, True, True, False, False, True)
    assert events == ["replication_is_asynchronous", "replication_is_synchronous"]
    assert told(False, False, False)[1] == []  # the start has reported it, with its cause


def test_only_where_it_is_required_is_it_insufficient() -> None:
    assert not told(True, True, False)[0].sufficient
    assert told(True, False, True)[0].sufficient
    assert told(True)[0].sufficient  # the start has looked
    assert told(False, False)[0].sufficient


async def test_beats_that_wait_for_nobody_prove_nothing_where_they_should() -> None:
    for required in (True, False):
        log = Log(HandClock(), ReplicationWatch(required=required).proves)
        log.reading = replace(log.reading, synchronous=False)
        await log.refresh()  # the last beat before the start may have been one of these
        assert log.feed.is_fresh() is not required
        log.reading = replace(log.reading, synchronous=True)
        await log.refresh()
        assert log.feed.is_fresh()
        log.reading = replace(log.reading, synchronous=False)
        log.clock.seconds += 5.1
        log.revoke("s1")
        await log.refresh()
        assert log.feed.state.revision == 1
        assert log.feed.is_fresh() is not required
