"""The file of results, and docs/faults.md, whose tables are written from it.

Figures come from runs alone: `make histories ARGS=--record` writes both.
"""

import copy
import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.histories.faults import NEMESES
from tests.histories.run import Result

FILE = Path(__file__).with_name("recorded.json")
DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
_BEGIN, _END = "<!-- recorded -->", "<!-- /recorded -->"


def recorded_with(
    results: Iterable[Result], held: dict[str, Any], *, adds: bool = False
) -> dict[str, Any]:
    """What the file holds after these runs: each fault with the sum of its runs, and with those
    that it had where this `adds`; faults that were not run keep what they had."""
    new: dict[str, dict[str, Any]] = copy.deepcopy(held["faults"]) if adds else {}
    for result in results:
        if result.skipped:
            new.setdefault(result.name, {"title": result.title, "skipped": result.skipped})
        else:
            _add(new.setdefault(result.name, _nothing(result)), result)
    faults = {**held["faults"], **new}
    return {
        "recorded": datetime.now(UTC).date().isoformat(),
        "faults": {one.name: faults[one.name] for one in NEMESES if one.name in faults},
    }


def _nothing(result: Result) -> dict[str, Any]:
    return {
        "title": result.title,
        "seeds": [],
        "operations": 0,
        "unknown": 0,
        "violations": 0,
        "tracebacks": 0,
        "failed": 0,
        "without_service": 0.0,
        "slowest_revocation": 0.0,
        "kinds": {},
    }


def _add(fault: dict[str, Any], result: Result) -> None:
    fault["seeds"].append(result.seed)
    fault["operations"] += result.operations
    fault["unknown"] += result.outcomes.get("unknown", 0)
    fault["violations"] += len(result.violations)
    fault["tracebacks"] += result.tracebacks
    fault["failed"] += bool(result.failed)
    fault["effect"] = result.effect
    for kind, places in result.kinds.items():
        counts = fault["kinds"].setdefault(kind, {})
        for place, number in places.items():
            counts[place] = counts.get(place, 0) + number
    for name in ("without_service", "slowest_revocation"):
        fault[name] = round(max(fault[name], getattr(result, name)), 3)


def record(results: Iterable[Result], held: dict[str, Any], *, adds: bool = False) -> None:
    """Put the results besides what was `held` before the first of them into the file, and their
    tables into the document."""
    write(recorded_with(results, held, adds=adds))


def operations(held: dict[str, Any]) -> int:
    """How many all its runs have."""
    return sum(fault.get("operations", 0) for fault in held["faults"].values())


def write(recorded: dict[str, Any]) -> None:
    """Put this into the file, and its tables into the document."""
    FILE.write_text(json.dumps(recorded, indent=1, ensure_ascii=False) + "\n")
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(), recorded))


def read() -> dict[str, Any]:
    """What the file holds."""
    held: dict[str, Any] = json.loads(FILE.read_text())
    return held


def with_tables(text: str, recorded: dict[str, Any]) -> str:
    """The document with the tables of these results."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{_tables(recorded)}{_END}{after}"


def _runs(fault: dict[str, Any]) -> str:
    """Their number, and how many of them prove nothing."""
    runs, failed = len(fault["seeds"]), fault["failed"]
    return f"{runs}, of which {failed} failed" if failed else str(runs)


def _tables(recorded: dict[str, Any]) -> str:
    faults = [fault for fault in recorded["faults"].values() if "skipped" not in fault]
    total, broken, tracebacks = (
        sum(fault[name] for fault in faults) for name in ("operations", "violations", "tracebacks")
    )
    runs = sum(len(fault["seeds"]) for fault in faults)
    head = f"Recorded on {recorded['recorded']}: {runs} runs, {total:,} operations, "
    columns = ("Runs", "Operations", "Unknown", "Violations", "Without service")
    lines = [
        f"{head}{broken} violations, {tracebacks} tracebacks.",
        "",
        f"| Fault | {' | '.join(columns)} | Slowest revocation |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *map(_row, recorded["faults"].values()),
        "",
        "| Operation | At nodes | At local validators |",
        "| --- | --- | --- |",
    ]
    kinds: dict[str, Counter[bool]] = {}
    for fault in faults:
        for kind, places in fault["kinds"].items():
            for place, number in places.items():
                kinds.setdefault(kind, Counter())[place.startswith("validator")] += number
    for kind, counts in sorted(kinds.items()):
        lines.append(f"| {kind} | {counts[False]:,} | {counts[True]:,} |")
    return "\n".join(lines) + "\n"


def _row(fault: dict[str, Any]) -> str:
    if "skipped" in fault:
        return f"| {fault['title']} | skipped: {fault['skipped']} | | | | | |"
    return (
        f"| {fault['title']} | {_runs(fault)} | {fault['operations']:,} "
        f"| {fault['unknown']:,} | {fault['violations']} | {fault['without_service']:.1f} s "
        f"| {fault['slowest_revocation'] * 1e3:,.0f} ms |"
    )
