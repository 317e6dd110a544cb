"""Calls counted in plain integers, handed to Prometheus only when it asks.

A process can also hand its counts to another one, which adds up those of several.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

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

    def add(self, other: "MethodCounters") -> None:
        """Count what the other counted."""
        for code, number in other.by_code.items():
            self.by_code[code] = self.by_code.get(code, 0) + number
        self.buckets = [mine + its for mine, its in zip(self.buckets, other.buckets, strict=True)]
        self.seconds += other.seconds

    def to_json(self) -> list[Any]:
        """What `from_json` takes."""
        return [self.by_code, self.buckets, self.seconds]

    @classmethod
    def from_json(cls, value: Any) -> Self:  # noqa: ANN401 - whatever the other process sent
        """Raises ValueError for what another version may have sent."""
        made = cls()
        by_code, buckets, seconds = value
        if len(buckets) != len(made.buckets):
            raise ValueError("other latency buckets than here")
        made.by_code = {str(code): int(number) for code, number in by_code.items()}
        made.buckets = [int(number) for number in buckets]
        made.seconds = float(seconds)
        return made


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts of one process or of several: counters by method, which only grow, the calls in
    flight by class of work, what is held in memory by kind, how many processes are in a trouble
    by its kind, and the epochs of the trust log that they have begun, by how."""

    methods: Mapping[str, MethodCounters] = field(default_factory=dict)
    active: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    troubles: Mapping[str, int] = field(default_factory=dict)
    epochs: Mapping[str, int] = field(default_factory=dict)

    def ended(self) -> "Counts":
        """What remains of a process that is gone: neither calls in flight nor what it held."""
        return Counts(self.methods, epochs=self.epochs)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` takes; methods that nobody has called are left out."""
        called = {name: one.to_json() for name, one in self.methods.items() if one.by_code}
        return {
            "methods": called,
            "active": dict(self.active),
            "held": dict(self.held),
            "troubles": dict(self.troubles),
            "epochs": dict(self.epochs),
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:  # noqa: ANN401 - whatever the other process sent
        """Raises ValueError for what cannot be added to counts made here."""
        try:
            methods = {
                str(name): MethodCounters.from_json(one) for name, one in value["methods"].items()
            }
            active, held, troubles, epochs = (
                {str(kind): int(number) for kind, number in numbers.items()}
                for numbers in (
                    value["active"],
                    value.get("held", {}),
                    value.get("troubles", {}),
                    value.get("epochs", {}),
                )
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError("no counts") from error
        return cls(methods, active, held, troubles, epochs)


def total(counts: Iterable[Counts]) -> Counts:
    """The sum."""
    methods: dict[str, MethodCounters] = {}
    active: Counter[str] = Counter()
    held: Counter[str] = Counter()
    troubles: Counter[str] = Counter()
    epochs: Counter[str] = Counter()
    for one in counts:
        for name, counters in one.methods.items():
            methods.setdefault(name, MethodCounters()).add(counters)
        active.update(one.active)
        held.update(one.held)
        troubles.update(one.troubles)
        epochs.update(one.epochs)
    return Counts(methods, active, held, troubles, epochs)


class RpcCollector(Collector):
    """Shows counts to a Prometheus registry. Labels: method, code, class and kind only."""

    def __init__(self, read: Callable[[], Counts]) -> None:
        self._read = read

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
        active = GaugeMetricFamily(
            "token_service_rpc_active", "Calls in flight, by class of work.", labels=("work",)
        )
        held = GaugeMetricFamily(
            "token_service_held", "What is kept in memory, by kind.", labels=("kind",)
        )
        troubles = GaugeMetricFamily(
            "token_service_troubled", "Processes in this trouble now, by kind.", labels=("kind",)
        )
        epochs = CounterMetricFamily(
            "token_service_trust_epochs",
            "Epochs of the trust log that were begun here: after a failover in which nothing was "
            "lost (succeeded), or with everyone logged out (fenced).",
            labels=("how",),
        )
        counts = self._read()
        for method, counters in counts.methods.items():
            for code, number in dict(counters.by_code).items():  # they go on counting meanwhile
                calls.add_metric((method, code), number)
            if counters.by_code:
                seconds.add_metric((method,), list(_cumulated(counters)), counters.seconds)
        for work, number in counts.active.items():
            active.add_metric((work,), number)
        for kind, number in counts.held.items():
            held.add_metric((kind,), number)
        for kind, number in counts.troubles.items():
            troubles.add_metric((kind,), number)
        for how, number in counts.epochs.items():
            epochs.add_metric((how,), number)
        yield from (calls, seconds, active, held, troubles, epochs)


def _cumulated(counters: MethodCounters) -> Iterator[tuple[str, float]]:
    so_far = 0
    for bound, number in zip((*map(str, BUCKETS), "+Inf"), counters.buckets, strict=True):
        so_far += number
        yield bound, so_far
