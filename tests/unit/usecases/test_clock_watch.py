"""Steps of the primary's clock are reported with their size, and nothing else is."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.unit.trust_log import HandClock, Log
from token_service.usecases.trust.clock_watch import ClockWatch


def steps(*readings: tuple[float, float, float]) -> list[float]:
    """What is reported of readings of (the primary's time, sent, received)."""
    reading, watch = Log(HandClock()).reading, ClockWatch()
    with capture_logs() as lines:
        for db_time, sent, received in readings:
            watch(replace(reading, db_time=db_time, sent_boot=sent, received_boot=received))
    assert {line["log_level"] for line in lines} <= {"warning"}
    return [line["seconds"] for line in lines if line["event"] == "postgres_clock_stepped"]


@pytest.mark.parametrize("step", [5.5, 90.0, -5.5, -86_400.0])
def test_a_step_is_reported_once_with_its_size(step: float) -> None:
    readings = [(1000.0, 10.0, 10.0), (1001.0 + step, 11.0, 11.0), (1002.0 + step, 12.0, 12.0)]

    assert steps(*readings) == [step]


def test_a_step_back_to_where_it_was_is_another_one() -> None:
    readings = [(1000.0, 10.0, 10.1), (1091.0, 11.0, 11.1), (1002.0, 12.0, 12.1)]

    assert steps(*readings) == [90.0, -90.0]


@pytest.mark.parametrize(
    "second",
    [
        (1005.9, 11.0, 11.0),  # 4.9 s ahead
        (996.1, 11.0, 11.0),
        (4600.0, 3610.0, 3610.0),  # an hour without a reading
        (1020.0, 11.0, 30.0),  # 9 s, or none: who knows when it was read
    ],
)
def test_what_may_be_none_is_not_reported(second: tuple[float, float, float]) -> None:
    assert steps((1000.0, 10.0, 10.0), second) == []
