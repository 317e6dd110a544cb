"""The circuit breaker, against a clock that the test turns."""

import pytest

from token_service.adapters.postgres.circuit import Circuit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> Circuit:
    return Circuit(clock, failures=3, retry_after=1.0)


def opened(circuit: Circuit) -> Circuit:
    assert [circuit.failed() for _ in range(3)] == [False, False, True]
    return circuit


def test_it_opens_after_so_many_failures_in_a_row(circuit: Circuit) -> None:
    for failures in range(3):
        assert circuit.allow(), failures
        assert not circuit.is_open
        circuit.failed()

    assert circuit.is_open
    assert not circuit.allow()


def test_an_answer_in_between_starts_the_count_anew(circuit: Circuit) -> None:
    circuit.failed()
    circuit.failed()
    circuit.succeeded()
    circuit.failed()
    circuit.failed()

    assert circuit.allow()
    assert circuit.failed()


def test_only_the_failure_that_opens_it_says_so(circuit: Circuit) -> None:
    opened(circuit)

    assert not circuit.failed()


def test_when_open_it_lets_one_probe_through_per_interval(circuit: Circuit, clock: Clock) -> None:
    opened(circuit)
    clock.now += 0.999
    assert not circuit.allow()
    clock.now += 0.001

    assert [circuit.allow() for _ in range(3)] == [True, False, False]


def test_a_probe_that_succeeds_closes_it(circuit: Circuit, clock: Clock) -> None:
    opened(circuit)
    clock.now += 1
    assert circuit.allow()
    circuit.succeeded()

    assert not circuit.is_open
    assert [circuit.allow() for _ in range(3)] == [True] * 3
    assert not circuit.failed()


def test_a_probe_that_fails_costs_another_interval(circuit: Circuit, clock: Clock) -> None:
    opened(circuit)
    clock.now += 1
    assert circuit.allow()
    clock.now += 0.9
    circuit.failed()
    clock.now += 0.9
    assert not circuit.allow()
    clock.now += 0.1

    assert circuit.allow()


def test_a_probe_that_never_reports_back_costs_one_interval(circuit: Circuit, clock: Clock) -> None:
    opened(circuit)
    clock.now += 1
    assert circuit.allow()
    clock.now += 1

    assert circuit.allow()


@pytest.mark.parametrize("bad", [{"failures": 0}, {"retry_after": 0}, {"retry_after": -1}])
def test_a_circuit_that_makes_no_sense_is_refused(clock: Clock, bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="circuit"):
        Circuit(clock, **bad)
