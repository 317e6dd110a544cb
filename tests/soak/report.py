"""What came of a run: as a table and as JSON."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.soak.day import KINDS, Plan
from tests.soak.limits import LEAST_WORK, Course, broken, broken_tables, unanswered
from tests.soak.tally import Tally


@dataclass(frozen=True, slots=True)
class Result:
    """`broken` says in words which limits were; `work` is what was begun of what was planned."""

    plan: Plan
    work: Mapping[str, tuple[int, int]]
    expected: Mapping[str, int]
    unexpected: Mapping[str, int]
    courses: Sequence[Course]
    rows: Mapping[str, int]
    broken: Sequence[str]

    @classmethod
    def of(
        cls,
        plan: Plan,
        tally: Tally,
        rush: Tally,
        warmed_up: Tally,
        courses: Sequence[Course],
        standing: Mapping[str, Any],
        rows: Mapping[str, int],
        faults: Sequence[str],
        seconds: float,
    ) -> "Result":
        """Judge; `rush` and `warmed_up` are the tally before the usual load, and before the part
        that counts, which took `seconds`."""
        expected = Counter(tally.expected)
        expected.update({f"gateway: {k}": n for k, n in standing["judged"].items()})
        unexpected = Counter(tally.unexpected)
        unexpected.update({f"gateway: {k}": n for k, n in standing["wrong"].items()})
        work = {
            kind: (
                tally.begun[kind] - rush.begun[kind],
                round((plan.seconds - plan.rush_seconds) * getattr(plan.rates, kind)),
            )
            for kind in KINDS
        }
        sessions = (tally.sessions - warmed_up.sessions) / seconds
        revocations = (tally.revocations - warmed_up.revocations) / seconds
        found = [*faults]
        for course in courses:
            found += broken(course, plan, revocations)
        found += broken_tables(rows, plan, revocations, sessions)
        found += unanswered(standing["judged"])
        found += [f"unexpected: {kind}, {n} times" for kind, n in unexpected.most_common(20)]
        found += [
            f"work: {done} of {planned} {name}; the machine is too slow"
            for name, (done, planned) in work.items()
            if planned >= 20 and done < LEAST_WORK * planned
        ]
        return cls(plan, work, expected, unexpected, courses, rows, found)

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "seconds": self.plan.seconds,
            "broken": list(self.broken),
            "work": {name: {"done": d, "planned": p} for name, (d, p) in self.work.items()},
            "outcomes": dict(sorted(self.expected.items())),
            "unexpected": dict(sorted(self.unexpected.items())),
            "rows": dict(self.rows),
            "processes": {one.name: _course(one) for one in self.courses},
        }


def table(result: Result) -> str:
    """For people."""
    lines = ["", f"{'outcome':<60}{'times':>9}"]
    lines += [f"{kind:<60}{n:>9}" for kind, n in sorted(result.expected.items())]
    lines += ["", f"{'left in the database':<60}{'rows':>9}"]
    lines += [f"{name:<60}{n:>9}" for name, n in result.rows.items()]
    for course in result.courses:
        lines += ["", *_lines(course)]
    if not result.plan.long_enough:
        lines += ["", "too short to judge memory and sweeping: the tables were not full before"]
    lines += ["", *(f"BROKEN  {one}" for one in result.broken)]
    if not result.broken:
        lines.append("nothing is left: no limit was broken, every call ended as it should")
    return "\n".join(lines)


def _lines(course: Course) -> list[str]:
    before, after = course.idle
    first, last = course.rss
    rows: list[tuple[str, object, object]] = [
        ("memory, MiB: first and last quarter under load", f"{first:.1f}", f"{last:.1f}"),
        ("memory, MiB", f"{before.rss:.1f}", f"{after.rss:.1f}"),
        ("descriptors", before.descriptors, after.descriptors),
        ("threads", before.threads, after.threads),
    ]
    rows += [(kind, before.held[kind], after.held.get(kind, 0)) for kind in before.held]
    head = f"{course.name + ', idle before and after':<60}{'before':>9}{'after':>9}{'most':>9}"
    return [head] + [
        f"{name:<60}{start:>9}{end:>9}{course.most(name) or '':>9}" for name, start, end in rows
    ]


def _course(course: Course) -> dict[str, Any]:
    first, last = course.rss
    return {
        "rss_mib_first_quarter": round(first, 1),
        "rss_mib_last_quarter": round(last, 1),
        "rss_growth": round(course.growth, 4),
        "idle_before": asdict(course.idle[0]),
        "idle_after": asdict(course.idle[1]),
        "most_held": {kind: course.most(kind) for kind in course.idle[0].held},
        "rss_mib": [round(one.rss, 1) for one in course.busy],
    }
