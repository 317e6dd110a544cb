"""Whether ratios have become worse than the recorded ones by more than chance explains."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.bench.processes import median

RECORDED = Path(__file__).with_name("recorded.json")
LEAST_MARGIN = 0.25
SAFETY = 2.0
LEAST_RUNS = 10


class Better(Enum):
    """Which way a ratio should go."""

    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A ratio and the share of it by which a run may be worse and still be chance."""

    ratio: float
    margin: float
    better: Better

    @property
    def limit(self) -> float:
        """The worst value that passes."""
        if self.better is Better.LOWER:
            return self.ratio * (1 + self.margin)
        return self.ratio * (1 - self.margin)

    def allows(self, value: float) -> bool:
        """Whether the value passes."""
        return value <= self.limit if self.better is Better.LOWER else value >= self.limit


def regressions(recorded: Mapping[str, Recorded], measured: Mapping[str, float]) -> dict[str, str]:
    """A line for each ratio that is worse than it may be, or was not measured at all."""
    lines = {}
    for name, was in recorded.items():
        if name not in measured:
            lines[name] = f"{name}: recorded, but not measured"
        elif not was.allows(measured[name]):
            change = 100 * (measured[name] / was.ratio - 1)
            lines[name] = (
                f"{name}: {measured[name]:.3f}, recorded {was.ratio:.3f} ({change:+.0f} %); "
                f"{'at most' if was.better is Better.LOWER else 'at least'} {was.limit:.3f} passes"
            )
    return lines


def to_record(values: Sequence[float], better: Better) -> Recorded:
    """The median of many runs; the margin is twice what the worst of them was off it, for what ten
    runs do not show, and 5 % at least.

    Raises ValueError for fewer than ten runs, which say too little about chance.
    """
    if len(values) < LEAST_RUNS:
        raise ValueError(f"a spread needs {LEAST_RUNS} runs, not {len(values)}")
    ratio = median(values)
    worst = max(values) / ratio - 1 if better is Better.LOWER else 1 - min(values) / ratio
    return Recorded(round(ratio, 3), round(max(LEAST_MARGIN, SAFETY * worst), 3), better)


def read(path: Path = RECORDED) -> dict[str, Recorded]:
    """The recorded ratios."""
    return {
        name: Recorded(one["ratio"], one["margin"], Better(one["better"]))
        for name, one in json.loads(path.read_text()).items()
    }


def write(recorded: Mapping[str, Recorded], path: Path = RECORDED) -> None:
    """Record them."""
    rows = {
        name: {"ratio": one.ratio, "margin": one.margin, "better": one.better.value}
        for name, one in sorted(recorded.items())
    }
    path.write_text(json.dumps(rows, indent=2) + "\n")
