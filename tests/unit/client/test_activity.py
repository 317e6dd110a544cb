"""Activity is gathered once per session and interval, reported in batches, and bounded."""

from datetime import timedelta

import grpc
import pytest

from tests.support.hands import HandClock
from tests.support.tokens import NOW
from tokenservice import PermissionDenied, RateLimited, TokenServiceError, Unreachable
from tokenservice._decisions.activity import KEEP_SECONDS, MAX_BATCH, ActivityLog, ActivityReporter

DOWN = Unreachable("", "", grpc.StatusCode.UNAVAILABLE)
REFUSED = PermissionDenied("PERMISSION_MISSING", "", grpc.StatusCode.PERMISSION_DENIED)
BUSY = RateLimited("OVERLOADED", "", grpc.StatusCode.RESOURCE_EXHAUSTED, (), timedelta(seconds=1))
INVALID = TokenServiceError("FIELD_INVALID", "", grpc.StatusCode.INVALID_ARGUMENT)


class Service:
    """Takes reports, or fails."""

    def __init__(self) -> None:
        self.took: list[dict[str, float]] = []
        self.failure: Exception | None = None

    async def report(self, batch: dict[str, float], interval: float) -> dict[str, float]:
        assert interval == 60.0
        if self.failure is not None:
            raise self.failure
        self.took.append(batch)
        return {}


def told(log: ActivityLog, now: float) -> dict[str, float]:
    """What is reported now, and settled."""
    batch = log.take(now)
    log.reported(batch, {})
    return batch


def test_a_session_is_told_of_once_in_an_interval_as_it_was_used_last() -> None:
    log = ActivityLog(interval=60)
    times: list[float] = []
    for second in range(240):
        log.touch("s", NOW + second)
        times += told(log, NOW + second).values()
    assert times == [NOW, NOW + 60, NOW + 120, NOW + 180]
    assert told(log, NOW + 240) == {"s": NOW + 239}
    assert told(log, NOW + 500) == {}


def test_the_service_may_ask_for_a_session_more_often() -> None:
    log = ActivityLog(interval=60)
    log.touch("s", NOW)
    log.touch("t", NOW)
    log.reported(log.take(NOW), {"s": 15.0, "t": 900.0})
    for session in ("s", "t"):
        log.touch(session, NOW + 1)
    assert told(log, NOW + 14) == {}
    assert told(log, NOW + 15) == {"s": NOW + 1}
    assert told(log, NOW + 60) == {"t": NOW + 1}


def test_it_knows_who_was_active_lately() -> None:
    log = ActivityLog(interval=60)
    log.touch("s", NOW)
    assert log.knows("s")
    assert not log.knows("t")
    told(log, NOW)
    assert log.knows("s")
    told(log, NOW + 60)
    assert not log.knows("s")


def test_memory_is_bounded() -> None:
    log = ActivityLog(interval=60, max_sessions=100)
    for number in range(1000):
        log.touch(str(number), NOW)
    assert len(log) == 100
    assert sum(log.knows(str(number)) for number in range(1000)) == 100


def test_a_clock_that_was_set_back_does_no_harm() -> None:
    log = ActivityLog(interval=60)
    log.touch("s", NOW)
    log.touch("s", NOW - 5000)
    log.touch("t", NOW - 5000)
    assert told(log, NOW) == {"s": NOW, "t": NOW - 5000}


@pytest.mark.parametrize("bad", [{"interval": 0.0}, {"max_sessions": 0}])
def test_limits_are_positive(bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="positive"):
        ActivityLog(**bad)


async def test_reports_are_batched() -> None:
    service, hand = Service(), HandClock()
    log = ActivityLog()
    for number in range(2 * MAX_BATCH + 1):
        log.touch(str(number), NOW)
    await ActivityReporter(log, hand.clock, service.report).flush()
    assert sorted(map(len, service.took)) == [1, MAX_BATCH, MAX_BATCH]
    assert len(log) == 0


async def test_what_nobody_took_is_kept_for_a_while() -> None:
    service, hand = Service(), HandClock()
    log = ActivityLog()
    log.touch("old", NOW - KEEP_SECONDS - 1)
    log.touch("new", NOW)
    reporter = ActivityReporter(log, hand.clock, service.report)
    service.failure = DOWN
    await reporter.flush()
    service.failure = None
    await reporter.flush()
    assert service.took == [{"new": NOW}]


@pytest.mark.parametrize("refused", [REFUSED, BUSY, INVALID], ids=["withdrawn", "busy", "invalid"])
async def test_what_was_refused_is_kept_unless_it_would_be_refused_again(
    refused: TokenServiceError, caplog: pytest.LogCaptureFixture
) -> None:
    """A permission that comes back within minutes costs no session its idle time."""
    service, hand = Service(), HandClock()
    log = ActivityLog()
    log.touch("s", NOW)
    service.failure = refused
    await ActivityReporter(log, hand.clock, service.report).flush()
    assert len(log) == (refused is not INVALID)
    assert refused.reason in caplog.text
