"""The results as a table."""

from typing import Any


def report(results: dict[str, Any]) -> str:
    """Ratios and other single figures first, then each kind of call."""
    lines = [f"{'figure':<42}{'value':>10}"]
    lines += [f"{key:<42}{value:>10.3f}" for key, value in results.items() if _figure(value)]
    if "measured" in results:
        lines.append(f"\n{'':<24}{'CPU µs':>9}{'calls/s':>9}{'p50 ms':>9}{'p99 ms':>9}")
        lines += [
            f"{key:<24}{one['cpu_us_per_call']:>9}{one['calls_per_second']:>9}"
            f"{one['p50_ms']:>9}{one['p99_ms']:>9}"
            for key, one in results["measured"].items()
        ]
    for label, key in (("pgbench", "pgbench_tps"), ("h2load", "h2load_validate_per_second")):
        if results.get(key) is not None:
            lines.append(f"{label:<24}{'':>9}{results[key]:>9}")
    return "\n".join(lines)


def _figure(value: object) -> bool:
    return isinstance(value, float)
