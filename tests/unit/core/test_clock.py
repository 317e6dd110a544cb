import time
from math import inf, isnan, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenservice.core import AnchoredClock
from tokenservice.core.clock import DRIFT, SETTLED_SECONDS, choose_boottime


class FakeBoot:
    """A local clock that stands where it is put."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def sample(clock: AnchoredClock, boot: FakeBoot, server: float, round_trip: float) -> bool:
    """A round trip that ends now and during which the server's clock read ``server``."""
    return clock.anchor(server, boot.at - round_trip, boot.at)


def test_without_a_sample_there_is_no_time() -> None:
    clock = AnchoredClock(FakeBoot())
    assert isnan(clock.now())
    assert not clock.anchored
    assert clock.uncertainty() == inf


def test_the_middle_of_the_round_trip_is_the_servers_moment() -> None:
    boot = FakeBoot()
    clock = AnchoredClock(boot)
    assert clock.anchor(5000.0, sent_at=999.0, received_at=1000.0)
    assert clock.anchored
    assert clock.now() == pytest.approx(5000.5)
    assert clock.uncertainty() == pytest.approx(0.5)
    boot.at += 100
    assert clock.now() == pytest.approx(5100.5)


def test_the_shortest_round_trip_is_kept() -> None:
    boot = FakeBoot()
    clock = AnchoredClock(boot)
    assert sample(clock, boot, 5000.0, 1.0)
    assert sample(clock, boot, 5000.1, 0.1)
    assert clock.now() == pytest.approx(5000.15)
    assert not sample(clock, boot, 5000.0, 0.5)
    assert clock.now() == pytest.approx(5000.15)


def test_a_sample_worsens_with_age_until_any_other_replaces_it() -> None:
    boot = FakeBoot()
    clock = AnchoredClock(boot)
    sample(clock, boot, 5000.0, 0.0)
    boot.at += 100
    assert clock.uncertainty() == pytest.approx(100 * DRIFT)
    assert not sample(clock, boot, 5100.0, 0.2)
    boot.at += 900
    assert sample(clock, boot, 5999.9, 0.2)
    assert clock.now() == pytest.approx(6000.0)


@pytest.mark.parametrize("jump", [-3600.0, -5.0, 5.0, 3600.0])
def test_a_server_clock_that_was_set_is_believed_at_once(jump: float) -> None:
    boot = FakeBoot()
    clock = AnchoredClock(boot)
    sample(clock, boot, 5000.0, 0.01)
    boot.at += 1
    assert sample(clock, boot, 5001.0 + jump, 1.0)
    assert clock.now() == pytest.approx(5001.5 + jump)


def test_a_slow_answer_alone_is_no_jump() -> None:
    boot = FakeBoot()
    clock = AnchoredClock(boot)
    sample(clock, boot, 5000.0, 0.01)
    boot.at += 10
    # Sent 8 s ago and read by the server right away: the middle is 4 s off, and may be.
    assert not clock.anchor(5002.0, boot.at - 8, boot.at)
    assert clock.now() == pytest.approx(5010.005)


@pytest.mark.parametrize(
    ("server", "sent", "received"),
    [
        (nan, 1.0, 2.0),
        (inf, 1.0, 2.0),
        (5.0, 2.0, 1.0),
        (5.0, nan, 2.0),
        (5.0, -inf, 2.0),
        (5.0, 1.0, nan),
        (5.0, 1.0, inf),
    ],
)
def test_nonsense_is_ignored(server: float, sent: float, received: float) -> None:
    boot = FakeBoot()
    clock = AnchoredClock(boot)
    assert not clock.anchor(server, sent, received)
    assert not clock.anchored
    sample(clock, boot, 5000.0, 0.01)
    before = clock.now()
    assert not clock.anchor(server, sent, received)
    assert clock.now() == before


round_trips = st.tuples(st.floats(0, 10), st.floats(0, 1), st.floats(0, 60), st.floats(-0.9, 0.9))


@given(st.lists(round_trips, min_size=1))
def test_now_is_never_further_off_than_it_says(
    trips: list[tuple[float, float, float, float]],
) -> None:
    """Against a true clock that drifts, whatever the delays on either way."""
    boot = FakeBoot()
    clock = AnchoredClock(boot)
    ahead = 7000.0
    for delay, share, pause, drift in trips:
        boot.at += pause
        ahead += drift * DRIFT * pause
        sent = boot.at
        boot.at += delay * share
        ahead += drift * DRIFT * delay * share
        server_time = boot.at + ahead
        boot.at += delay * (1 - share)
        ahead += drift * DRIFT * delay * (1 - share)
        clock.anchor(server_time, sent, boot.at)
        slack = 1e-6 + delay * DRIFT  # drift during the round trip itself
        assert abs(clock.now() - (boot.at + ahead)) <= clock.uncertainty() + slack


def test_the_default_clock_runs_through_a_suspension_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert before <= AnchoredClock().boot() <= time.clock_gettime(time.CLOCK_BOOTTIME)
    # On a machine that never slept the clocks agree, so ask which one is read, too.
    monkeypatch.setattr(time, "clock_gettime", lambda which: which)
    assert choose_boottime()() == time.CLOCK_BOOTTIME
    monkeypatch.delattr(time, "CLOCK_BOOTTIME")
    assert choose_boottime() is time.monotonic


def test_a_message_proves_that_the_server_has_got_so_far_and_no_more() -> None:
    clock = AnchoredClock(lambda: 100.0)
    clock.anchor(1000.0, 99.9, 100.1)
    clock.witness(1000.05, 100.0)
    clock.witness(900.0, 100.0)
    assert clock.now() == pytest.approx(1000.0)
    assert clock.uncertainty() == pytest.approx(0.1)


def test_a_server_further_ahead_than_possible_makes_it_uncertain() -> None:
    """From what was thought to what was seen, until a round trip tells."""
    clock = AnchoredClock(lambda: 100.0)
    clock.anchor(1000.0, 100.0, 100.0)
    clock.witness(1060.0, 100.0)
    assert clock.now() + clock.uncertainty() == pytest.approx(1060.0)
    assert clock.now() - clock.uncertainty() == pytest.approx(1000.0)
    assert clock.anchor(1060.0, 99.9, 100.1)
    assert clock.now() == pytest.approx(1060.0)


def test_nothing_is_witnessed_before_the_first_sample() -> None:
    clock = AnchoredClock(lambda: 100.0)
    clock.witness(1000.0, 100.0)
    assert not clock.anchored
    assert isnan(clock.now())


def test_it_is_settled_only_some_time_after_the_last_step() -> None:
    boot = FakeBoot()
    clock = AnchoredClock(boot)

    def sampled(server_time: float) -> bool:
        clock.anchor(server_time, boot.at, boot.at + 0.001)
        return clock.settled

    def later() -> bool:
        boot.at += SETTLED_SECONDS + 1
        return clock.settled

    def witnessed(server_time: float) -> bool:
        clock.witness(server_time, boot.at)
        return clock.settled

    assert not sampled(5_000.0)
    assert later()
    assert sampled(clock.now() + 0.01)  # a little drift is no step
    assert not sampled(clock.now() + 3_600)
    assert later()
    assert not witnessed(clock.now() + 3_600)
