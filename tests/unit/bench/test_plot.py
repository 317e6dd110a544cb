"""Pictures of results that were made up."""

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.bench.plot import draw

LEVELS = ("1", "2", "4", "8")
RESULTS: dict[str, Any] = {
    "validate_warm_vs_echo_cpu": 1.3,
    "by_load": {
        kind: {level: {"p50_ms": float(level), "p99_ms": 3 * float(level)} for level in LEVELS}
        for kind in ("validate", "exchange", "echo_validate", "echo_exchange")
    },
    "by_sessions": {
        str(sessions): {
            "validate_cpu_us": 250.0,
            "validate_cold_cpu_us": 350.0,
            "exchange_cpu_us": 600.0,
            "exchange_postgres_cpu_us": 200.0,
            "exchange_p50_ms": 3.0,
            "exchange_p99_ms": 9.0,
        }
        for sessions in (1_000, 10_000, 100_000)
    },
    "by_trust_entries": {str(entries): {"validate_cpu_us": 250.0} for entries in (0, 1_000)},
}


def comments(svg: Path) -> set[str]:
    """What is written in it: text is drawn as outlines, each with a comment that spells it."""
    return {found.strip() for found in re.findall(r"<!--(.*?)-->", svg.read_text())}


def test_everything_is_in_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "bench.svg"
    assert draw(RESULTS, path)
    assert {
        "Validate: latency by load",
        "Exchange: latency by load",
        "CPU by number of sessions",
        "Exchange, one at a time: latency by number of sessions",
        "CPU by live trust entries",
        "bare echo, p99",
        "100,000",
    } <= comments(path)


@pytest.mark.parametrize(
    ("key", "there"),
    [
        ("by_load", "Validate: latency by load"),
        ("by_sessions", "CPU by number of sessions"),
        ("by_trust_entries", "CPU by live trust entries"),
    ],
)
def test_a_part_alone_is_drawn_alone(tmp_path: Path, key: str, there: str) -> None:
    path = tmp_path / "bench.svg"
    assert draw({key: RESULTS[key]}, path)
    titles = {text for text in comments(path) if " by " in text}
    assert there in titles
    assert len(titles) <= 2


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "bench.svg"
    assert not draw({"validate_warm_vs_echo_cpu": 1.3}, path)
    assert not path.exists()


def test_a_png_is_a_png(tmp_path: Path) -> None:
    path = tmp_path / "bench.png"
    assert draw(RESULTS, path)
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 800
