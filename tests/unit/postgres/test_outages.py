"""Each cause of an outage is told once, again after a minute, and when it is over."""

from structlog.testing import capture_logs

from tests.support.hands import Hands
from token_service.adapters.postgres.failures import Cause
from token_service.adapters.postgres.outages import QUIET_SECONDS, REPEAT_SECONDS, Outages

FULL, LOCKED = Cause("the disk is full", "53100"), Cause("a row stays locked")


def test_a_cause_is_told_once_in_a_minute_with_the_number_of_calls() -> None:
    clock = Hands()
    outages = Outages(clock)
    with capture_logs() as lines:
        for _ in range(int(REPEAT_SECONDS) + 1):
            outages.failed(FULL, ValueError("a value that is nobody's business"))
            outages.failed(LOCKED)
            outages.succeeded()  # reads go on
            clock.now += 1

    assert [(line["log_level"], line["cause"], line["calls"]) for line in lines] == [
        ("warning", FULL.text, 1),
        ("warning", LOCKED.text, 1),
        ("warning", FULL.text, 61),
        ("warning", LOCKED.text, 61),
    ]
    assert (lines[0]["sqlstate"], lines[0]["error"]) == ("53100", "ValueError")
    assert "business" not in repr(lines)


def test_the_end_is_told_once_when_the_cause_was_not_seen_for_a_while() -> None:
    clock = Hands()
    outages = Outages(clock)
    with capture_logs() as lines:
        outages.failed(FULL)
        clock.now += 1
        outages.failed(FULL)
        clock.now += QUIET_SECONDS - 0.5
        outages.succeeded()
        assert len(lines) == 1
        clock.now += 0.5
        outages.succeeded()
        outages.succeeded()

    assert not outages.any
    assert [line["event"] for line in lines] == ["postgres_fails", "postgres_works"]
    assert (lines[1]["seconds"], lines[1]["calls"]) == (1.0, 2)
