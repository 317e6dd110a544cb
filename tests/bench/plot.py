"""The results as pictures: latency by load, and cost by size."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

Panel = Callable[[Axes, Mapping[str, Any]], None]
SERVICE, FLOOR, STORE = "#1f5fa8", "#8a8a8a", "#b3541e"
COLD, EXCHANGE = "#2e8b57", "#7b4fa3"


def draw(results: Mapping[str, Any], path: Path) -> bool:
    """Draw what was measured of it, in the format that the file's name says. False where there is
    nothing to draw."""
    panels: list[tuple[Panel, Mapping[str, Any]]] = []
    if "by_load" in results:
        panels += [(_load("validate", "Validate"), results["by_load"])]
        panels += [(_load("exchange", "Exchange"), results["by_load"])]
    if "by_sessions" in results:
        panels += [(_sessions_cpu, results["by_sessions"])]
        panels += [(_sessions_latency, results["by_sessions"])]
    if "by_trust_entries" in results:
        panels += [(_trust_entries, results["by_trust_entries"])]
    if not panels:
        return False
    rows = (len(panels) + 1) // 2
    figure = Figure(figsize=(12, 4.4 * rows), layout="constrained")
    for place, (panel, data) in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, 2, place)
        panel(axes, data)
        axes.grid(visible=True, which="major", color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    return True


def _load(kind: str, title: str) -> Panel:
    def panel(axes: Axes, data: Mapping[str, Any]) -> None:
        levels = sorted(data[kind], key=int)
        for name, label, color in ((kind, title, SERVICE), (f"echo_{kind}", "bare echo", FLOOR)):
            for percentile, style in (("p50", "-"), ("p99", "--")):
                axes.plot(
                    [int(level) for level in levels],
                    [data[name][level][f"{percentile}_ms"] for level in levels],
                    style,
                    marker="o",
                    markersize=4,
                    color=color,
                    label=f"{label}, {percentile}",
                )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks([int(level) for level in levels], levels)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set(title=f"{title}: latency by load", xlabel="calls in flight", ylabel="ms")

    return panel


def _by_size(axes: Axes, data: Mapping[str, Any], lines: tuple[tuple[str, str, str], ...]) -> None:
    """One line for each (key, label, color); sizes on the x axis, evenly apart."""
    sizes = sorted(data, key=int)
    highest = 0.0
    for key, label, color in lines:
        values = [data[size][key] for size in sizes]
        highest = max(highest, *values)
        axes.plot(values, marker="o", markersize=4, color=color, label=label)
    axes.set_xticks(range(len(sizes)), [f"{int(size):,}" for size in sizes])
    axes.set_ylim(0, 1.1 * highest)


def _sessions_cpu(axes: Axes, data: Mapping[str, Any]) -> None:
    lines = (
        ("validate_cpu_us", "Validate", SERVICE),
        ("validate_cold_cpu_us", "Validate, token at first sight", COLD),
        ("exchange_cpu_us", "Exchange", EXCHANGE),
        ("exchange_postgres_cpu_us", "Exchange, PostgreSQL's part", STORE),
    )
    _by_size(axes, data, lines)
    axes.set(title="CPU by number of sessions", xlabel="sessions", ylabel="µs of CPU for a call")


def _sessions_latency(axes: Axes, data: Mapping[str, Any]) -> None:
    lines = (("exchange_p50_ms", "p50", SERVICE), ("exchange_p99_ms", "p99", STORE))
    _by_size(axes, data, lines)
    axes.set(
        title="Exchange, one at a time: latency by number of sessions",
        xlabel="sessions",
        ylabel="ms",
    )


def _trust_entries(axes: Axes, data: Mapping[str, Any]) -> None:
    _by_size(axes, data, (("validate_cpu_us", "Validate", SERVICE),))
    axes.set(
        title="CPU by live trust entries", xlabel="live entries", ylabel="µs of CPU for a call"
    )
