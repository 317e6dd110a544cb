"""Calls counted in plain integers, handed to Prometheus only when it asks."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from token_service.rpc.limits import WorkBound
from token_service.rpc.policy import Work

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the latency buckets, in seconds."""


class MethodCounters:
    """What happened to one method's calls."""

    __slots__ = ("buckets", "by_code", "seconds")

    def __init__(self) -> None:
        self.by_code: dict[str, int] = {}
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def count(self, code: str, seconds: float) -> None:
        """One call ended with `code` after `seconds`."""
        self.by_code[code] = self.by_code.get(code, 0) + 1
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds


class RpcCollector(Collector):
    """Shows the counters to a Prometheus registry. Labels: method, code and class only."""

    def __init__(
        self, counters: Mapping[str, MethodCounters], bounds: Mapping[Work, WorkBound]
    ) -> None:
        self._counters = counters
        self._bounds = bounds

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        calls = CounterMetricFamily(
            "token_service_rpc_calls",
            "Calls that ended, by status code.",
            labels=("method", "code"),
        )
        seconds = HistogramMetricFamily(
            "token_service_rpc_seconds", "Duration of calls.", labels=("method",)
        )
        for method, counters in self._counters.items():
            for code, number in counters.by_code.items():
                calls.add_metric((method, code), number)
            if counters.by_code:
                seconds.add_metric((method,), list(_cumulated(counters)), counters.seconds)
        active = GaugeMetricFamily(
            "token_service_rpc_active", "Calls in flight, by class of work.", labels=("work",)
        )
        for work, bound in self._bounds.items():
            active.add_metric((work.name.lower(),), bound.active)
        yield from (calls, seconds, active)


def _cumulated(counters: MethodCounters) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, number in zip((*map(str, BUCKETS), "+Inf"), counters.buckets, strict=True):
        total += number
        yield bound, total
