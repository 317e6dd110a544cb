"""Metrics of several workers as one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many workers serve, and how many have ended unasked so far."""

    serving: int
    deaths: int


class FleetCollector(Collector):
    """Shows the workers to a Prometheus registry."""

    def __init__(self, read: Callable[[], Fleet]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        fleet = self._read()
        yield GaugeMetricFamily(
            "token_service_workers", "Processes that serve.", value=fleet.serving
        )
        yield CounterMetricFamily(
            "token_service_worker_deaths", "Workers that ended unasked.", value=fleet.deaths
        )
