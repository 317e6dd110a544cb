"""The trust feed: how soon a revocation is heard everywhere and what delivering it costs, beside a
bare stream in the same run.
"""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tests.bench.feed_processes import Bare, Worker, cpu_ns, run_all
from tests.bench.feed_world import (
    BURST,
    CALLS,
    EACH,
    PROCESSES,
    RATE,
    FeedSize,
    FeedWorld,
)
from tests.bench.processes import median
from tests.bench.watchers import WATCH
from tests.support.servers import ServerProcess

REVOKE = "/tokenservice.v1.TokenService/Revoke"

Heard = list[list[tuple[int, float]]]
Revoked = list[tuple[int, float, float]]


@dataclass(frozen=True, slots=True)
class Place:
    """Who is watched, by method `watch`, and who is asked to revoke. `pid` is the watched one."""

    watched: str
    watch: str
    pid: int
    asked: str
    revoke: str


class FanOut:
    """A hundred watchers each of a bare stream, of the server that revokes, and of another one."""

    worker_module = "tests.bench.watchers"

    def __init__(
        self, world: FeedWorld, own: ServerProcess, other: ServerProcess, stack: ExitStack
    ) -> None:
        self._world = world
        bare = Bare()
        stack.callback(bare.close)
        self._workers = [Worker(self.worker_module) for _ in range(PROCESSES)]
        self._revoker = Worker()
        for worker in (*self._workers, self._revoker):
            stack.callback(worker.close)
        asked = own.address
        self._places = {
            "bare": Place(bare.address, "/bare/Subscribe", bare.pid, bare.address, "/bare/Publish"),
            "own": Place(asked, WATCH, own.process.pid, asked, REVOKE),
            "other": Place(other.address, WATCH, other.process.pid, asked, REVOKE),
        }
        self._first = 0
        self._heard: dict[str, list[float]] = defaultdict(list)
        self._asked: dict[str, list[float]] = defaultdict(list)
        self._acknowledged: dict[str, list[float]] = defaultdict(list)
        self._cpu_us: dict[str, list[float]] = defaultdict(list)
        self._merged: dict[str, list[float]] = defaultdict(list)

    def run(self, size: FeedSize) -> dict[str, Any]:
        """Short rounds, one place after the other, so that all meet the same machine."""
        for name, place in self._places.items():
            self._open(name, place)
        for _ in range(size.rounds):
            for name in self._places:
                self._measure(name, name, rate=RATE, count=CALLS)
        for _ in range(size.bursts):
            self._measure("burst", "own", rate=0, count=BURST)
        return self._results()

    def _open(self, name: str, place: Place) -> None:
        run_all(
            self._workers,
            "open",
            group=name,
            count=EACH,
            connections=EACH,
            address=place.watched,
            method=place.watch,
            authorization=self._world.as_client("demo-gateway"),
        )

    def _measure(self, label: str, group: str, *, rate: int, count: int) -> None:
        """Revoke, and collect what the watchers heard."""
        place = self._places[group]
        run_all(self._workers, "collect", group=group, revision=0)
        before = cpu_ns(place.pid)
        revoked: Revoked = self._revoker.run(
            "revoke",
            address=place.asked,
            method=place.revoke,
            authorization=self._world.as_client("demo-web"),
            requests=str(self._world.requests),
            first=self._first,
            rate=rate,
            count=count,
        )["revoked"]
        last = max(revision for revision, _, _ in revoked)
        answers = run_all(self._workers, "collect", group=group, revision=last)
        used = cpu_ns(place.pid) - before
        if group != "bare":
            self._first += count
        heard: Heard = [one for answer in answers for one in answer["heard"]]
        messages = sum(answer["messages"] for answer in answers)
        self._heard[label] += lateness([(rev, at) for rev, _, at in revoked], heard)
        self._asked[label] += lateness([(rev, at) for rev, at, _ in revoked], heard)
        self._acknowledged[label] += [end - begin for _, begin, end in revoked]
        self._cpu_us[label].append(used / 1e3 / messages)
        self._merged[label].append(len(revoked) * len(heard) / messages)

    def _results(self) -> dict[str, Any]:
        pairs = zip(self._cpu_us["other"], self._cpu_us["bare"], strict=True)
        return {
            "revoke_p50_ms": quantile(self._heard["own"], 0.5),
            "revoke_p99_ms": quantile(self._heard["own"], 0.99),
            "revoke_elsewhere_p50_ms": quantile(self._heard["other"], 0.5),
            "revoke_elsewhere_p99_ms": quantile(self._heard["other"], 0.99),
            "revoke_burst_p99_ms": quantile(self._heard["burst"], 0.99),
            "bare_stream_p50_ms": quantile(self._heard["bare"], 0.5),
            "bare_stream_p99_ms": quantile(self._heard["bare"], 0.99),
            "feed_vs_bare_stream_cpu": median([feed / bare for feed, bare in pairs]),
            "feed": {
                label: {
                    "cpu_us_per_message": median(cpu),
                    "revocations_per_message": median(self._merged[label]),
                    "asked_to_heard_p50_ms": quantile(self._asked[label], 0.5),
                    "asked_to_heard_p99_ms": quantile(self._asked[label], 0.99),
                    "acknowledged_p50_ms": quantile(self._acknowledged[label], 0.5),
                    "acknowledged_p99_ms": quantile(self._acknowledged[label], 0.99),
                }
                for label, cpu in self._cpu_us.items()
            },
        }


def lateness(since: Sequence[tuple[int, float]], heard: Heard) -> list[float]:
    """For each revision and watcher the seconds from the moment given to the message that brought
    it; negative when that came first. Raises RuntimeError where none did."""
    seconds = []
    for one in heard:
        place = 0
        for revision, moment in sorted(since):
            while place < len(one) and one[place][0] < revision:
                place += 1
            if place == len(one):
                raise RuntimeError(f"a watcher has not heard of revision {revision}")
            seconds.append(one[place][1] - moment)
    return seconds


def quantile(values: Sequence[float], share: float) -> float:
    """In milliseconds, from seconds."""
    return 1e3 * sorted(values)[min(len(values) - 1, int(len(values) * share))]
