"""How many processors there are to use."""

import os
from pathlib import Path

import pytest

from token_service.config import checks
from token_service.config.checks import processors


@pytest.mark.parametrize(
    ("quota", "most"),
    [("max 100000", 6), ("250000 100000", 2), ("50000 100000", 1), ("1600000 100000", 6)],
)
@pytest.mark.parametrize("group", ["", "service.slice/token.service"])
def test_a_quota_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, group: str, quota: str, most: int
) -> None:
    (tmp_path / group).mkdir(parents=True, exist_ok=True)
    (tmp_path / group / "cpu.max").write_text(quota + "\n")
    (tmp_path / "membership").write_text(f"1:name=systemd:/other\n0::/{group}\n")
    _six(monkeypatch)
    assert processors(tmp_path / "membership", tmp_path) == most


@pytest.mark.parametrize("said", ["", "nonsense", "1 2 3"])
def test_what_cannot_be_read_limits_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str
) -> None:
    _six(monkeypatch)
    assert processors(tmp_path / "missing", tmp_path) == 6
    (tmp_path / "cpu.max").write_text(said)
    assert processors(tmp_path / "missing", tmp_path) == 6


def _six(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)


def test_there_is_at_least_one_here() -> None:
    assert checks.processors() >= 1
