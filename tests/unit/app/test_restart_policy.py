"""When a dead worker is replaced, and when the service gives up."""

from token_service.app.processes.restart_policy import GiveUp, Replace, RestartPolicy


def test_a_worker_that_served_is_replaced_at_once() -> None:
    policy = RestartPolicy()
    assert [policy.died(now, served=True) for now in (0.0, 1.0, 2.0, 3.0)] == [Replace(0.0)] * 4


def test_the_fifth_death_within_a_minute_is_one_too_many() -> None:
    policy = RestartPolicy()
    for now in (0.0, 10.0, 20.0, 30.0):
        assert isinstance(policy.died(now, served=True), Replace)
    assert policy.died(59.9, served=True) == GiveUp("5 workers ended unasked within 60 s")


def test_what_is_a_minute_ago_no_longer_counts() -> None:
    policy = RestartPolicy()
    for number in range(100):
        assert isinstance(policy.died(number * 15.0, served=True), Replace)
    assert isinstance(policy.died(99 * 15.0 + 14.9, served=True), GiveUp)


def test_those_that_cannot_begin_are_started_ever_more_slowly() -> None:
    policy = RestartPolicy(deaths=100)
    pauses = [policy.died(float(now), served=False) for now in range(7)]
    assert pauses == [Replace(pause) for pause in (0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0)]
    assert policy.died(7.0, served=True) == Replace(0.0)
    assert policy.died(8.0, served=False) == Replace(0.25)
