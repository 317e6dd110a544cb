"""What probes are told of several workers."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from token_service.app.endpoints.probes import HUNG_SECONDS, Pulse
from token_service.app.processes.fleet_probes import FleetProbes

if TYPE_CHECKING:
    from token_service.app.processes.worker_process import WorkerProcess


class Time:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@dataclass
class Worker:
    number: int
    time: Time
    served: bool = True
    leaving: bool = False
    unready: str = ""
    pulse: Pulse = field(init=False)

    def __post_init__(self) -> None:
        self.pulse = Pulse(self.time)


class Fleet:
    def __init__(self) -> None:
        self.time = Time()
        self.workers = [Worker(number, self.time) for number in (1, 2)]
        self.stopping = False
        self.probes = FleetProbes(
            lambda: cast("list[WorkerProcess]", self.workers), lambda: self.stopping
        )
        self.probes.pulse = Pulse(self.time)

    def ready(self) -> bool:
        return not self.probes.why_not_ready()


def test_one_that_serves_is_enough() -> None:
    fleet = Fleet()
    assert fleet.ready()
    fleet.workers[0].served = False  # it died, and its successor is starting
    assert fleet.ready()
    fleet.workers[1].served = False
    assert fleet.probes.why_not_ready() == "no worker serves"


def test_one_that_serves_and_cannot_answer_is_too_many() -> None:
    """It gets its share of the connections all the same."""
    fleet = Fleet()
    fleet.workers[1].unready = "no database"
    assert fleet.probes.why_not_ready() == "worker 2: no database"
    assert fleet.probes.why_not_live() == ""
    fleet.workers[1].leaving = True
    assert fleet.ready()


def test_a_stop_is_told() -> None:
    fleet = Fleet()
    fleet.stopping = True
    assert fleet.probes.why_not_ready() == "the server is stopping"
    assert fleet.probes.why_not_live() == ""


def test_a_worker_that_hangs_is_neither_live_nor_ready() -> None:
    fleet = Fleet()
    fleet.time.seconds = HUNG_SECONDS
    assert fleet.ready()
    fleet.time.seconds += 1
    fleet.probes.pulse.beat()
    fleet.workers[0].pulse.beat()
    for why_not in (fleet.probes.why_not_live(), fleet.probes.why_not_ready()):
        assert why_not == "worker 2 has not answered for 11 s"
    fleet.workers[1].served = False  # one that starts has its own limit
    assert fleet.probes.why_not_live() == ""


def test_a_supervisor_that_hangs_is_not_live() -> None:
    fleet = Fleet()
    fleet.time.seconds = HUNG_SECONDS + 1
    assert fleet.probes.why_not_live() == "the supervisor has not answered for 11 s"
