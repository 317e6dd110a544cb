"""What must not have been exceeded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from tests.soak.day import KEEP_SECONDS, SESSION_SECONDS, SWEEP_SECONDS, Plan
from tests.soak.readings import Reading

MOST_GROWTH = 0.05
"""Of resident memory, from the first quarter of what is measured to the last."""
SPARE = {"descriptors": 4, "threads": 2, "tasks": 2}
"""How much more of them there may be when all is over."""
UNFILLED = {"descriptors": 10, "threads": 10, "tasks": 0}
"""How much more besides in a short run: pools of threads fill with use."""
LEAST_WORK = 0.8
"""Of what was planned: with less the run says little."""
MOST_UNANSWERED = 0.02
"""Of all tokens judged by the validator: without an answer it refuses, which is not wrong."""
SLACK = 1.3
"""Rates vary, and the first prune after the last moment takes a while."""

CAPACITIES = {
    "server": {"identities": 50_000, "active_sessions": 100_000, "store_connections": 48},
    "gateway": {"tokens": 100_000, "refusals": 4_096, "active_sessions": 100_000},
}
"""What tables and pools are bounded by, whatever is done to the process. The pools have 14
connections to PostgreSQL and 16 to Valkey; two listen; some cancel a query; and some sockets are
between threads of the process."""


@dataclass(frozen=True, slots=True)
class Course:
    """One process: `idle` in the pauses before and after what was measured, `busy` meanwhile."""

    name: str
    idle: tuple[Reading, Reading]
    busy: Sequence[Reading]

    @property
    def rss(self) -> tuple[float, float]:
        """Medians of the first and the last quarter, in MiB."""
        quarter = max(1, len(self.busy) // 4)
        return (
            median(one.rss for one in self.busy[:quarter]),
            median(one.rss for one in self.busy[-quarter:]),
        )

    @property
    def growth(self) -> float:
        """Of resident memory, as a part of what it was."""
        first, last = self.rss
        return last / first - 1

    def most(self, kind: str) -> int:
        """Most of that kind ever held at a time."""
        return max(one.held.get(kind, 0) for one in self.busy)


def broken(course: Course, plan: Plan, revocations_a_second: float) -> list[str]:
    """What one process exceeded, in words."""
    name, (before, after) = course.name, course.idle
    found = [
        f"{name}: {kind} were {more} when idle before and {then} after"
        for kind, more, then in (
            ("descriptors", before.descriptors, after.descriptors),
            ("threads", before.threads, after.threads),
            ("tasks", before.held["tasks"], after.held["tasks"]),
        )
        if then > more + SPARE[kind] + (0 if plan.long_enough else UNFILLED[kind])
    ]
    found += [
        f"{name}: {after.held[kind]} of {kind} are in flight although nobody calls"
        for kind in after.held
        if kind.startswith("calls_") and after.held[kind] > before.held[kind]
    ]
    bounds = {
        **CAPACITIES[name],
        "trust_entries": int(SLACK * revocations_a_second * (KEEP_SECONDS + 5)) + 500,
    }
    found += [
        f"{name}: {course.most(kind)} {kind} were held, at most {bound} should be"
        for kind, bound in bounds.items()
        if course.most(kind) > bound
    ]
    if plan.long_enough and course.growth > MOST_GROWTH:
        first, last = course.rss
        found.append(f"{name}: memory grew by {course.growth:.1%}, {first:.1f} to {last:.1f} MiB")
    return found


def broken_tables(
    rows: Mapping[str, int], plan: Plan, revocations_a_second: float, sessions_a_second: float
) -> list[str]:
    """Tables of the database that hold what should have been swept."""
    if not plan.long_enough:
        return []
    bounds = {
        "trust_log": SLACK * revocations_a_second * (KEEP_SECONDS + SWEEP_SECONDS) + 500,
        "sessions": SLACK * sessions_a_second * (SESSION_SECONDS + SWEEP_SECONDS) + 500,
    }
    return [
        f"database: {rows[table]} rows in {table}, at most {bound:.0f} should be left"
        for table, bound in bounds.items()
        if rows[table] > bound
    ]


def unanswered(judged: Mapping[str, int]) -> list[str]:
    """A validator that was left without answers too often."""
    share = sum(n for kind, n in judged.items() if kind.startswith("unanswered")) / max(
        1, sum(judged.values())
    )
    if share <= MOST_UNANSWERED:
        return []
    return [f"gateway: {share:.1%} of its questions were not answered; the machine is too slow"]
