"""The file of results, and docs/faults.md, whose tables are written from it.

Figures come from runs alone: `make histories ARGS=--record` writes both.
"""

import json
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.histories.run import Result

FILE = Path(__file__).with_name("recorded.json")
DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"
_BEGIN, _END = "<!-- recorded -->", "<!-- /recorded -->"


def summed(results: Iterable[Result]) -> dict[str, Any]:
    """What the file holds of these runs: the faults in order, each with the sum of its runs."""
    faults: dict[str, dict[str, Any]] = {}
    kinds: dict[str, Counter[str]] = {}
    skipped: dict[str, str] = {}
    for result in results:
        if result.skipped:
            skipped[result.title] = result.skipped
            continue
        _add(faults.setdefault(result.name, _nothing(result)), result)
        for kind, places in result.kinds.items():
            kinds.setdefault(kind, Counter()).update(places)
    return {
        "recorded": datetime.now(UTC).date().isoformat(),
        "faults": faults,
        "kinds": {kind: dict(sorted(places.items())) for kind, places in sorted(kinds.items())},
        "skipped": skipped,
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
    }


def _add(fault: dict[str, Any], result: Result) -> None:
    fault["seeds"].append(result.seed)
    fault["operations"] += result.operations
    fault["unknown"] += result.outcomes.get("unknown", 0)
    fault["violations"] += len(result.violations)
    fault["tracebacks"] += result.tracebacks
    fault["failed"] += bool(result.failed)
    fault["effect"] = result.effect
    for name in ("without_service", "slowest_revocation"):
        fault[name] = round(max(fault[name], getattr(result, name)), 3)


def write(recorded: dict[str, Any]) -> None:
    """Put the results into the file, and their tables into the document."""
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
    faults = recorded["faults"].values()
    total = sum(fault["operations"] for fault in faults)
    broken = sum(fault["violations"] for fault in faults)
    runs = sum(len(fault["seeds"]) for fault in faults)
    columns = ("Runs", "Operations", "Unknown", "Violations", "Without service")
    tracebacks = sum(fault["tracebacks"] for fault in faults)
    head = f"Recorded on {recorded['recorded']}: {runs} runs, {total:,} operations, "
    lines = [f"{head}{broken} violations, {tracebacks} tracebacks.", ""]
    lines.append(f"| Fault | {' | '.join(columns)} | Slowest revocation |")
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    lines += [
        f"| {fault['title']} | {_runs(fault)} | {fault['operations']:,} "
        f"| {fault['unknown']:,} | {fault['violations']} | {fault['without_service']:.1f} s "
        f"| {fault['slowest_revocation'] * 1e3:,.0f} ms |"
        for fault in faults
    ]
    lines += [
        f"| {title} | skipped: {why} | | | | | |" for title, why in recorded["skipped"].items()
    ]
    lines += ["", "| Operation | At nodes | At local validators |", "| --- | --- | --- |"]
    for kind, places in recorded["kinds"].items():
        local = sum(n for place, n in places.items() if place.startswith("validator"))
        lines.append(f"| {kind} | {sum(places.values()) - local:,} | {local:,} |")
    return "\n".join(lines) + "\n"
