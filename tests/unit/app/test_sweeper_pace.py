"""How fast what is over goes, on a clock that stands still but for the database."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from token_service.adapters.postgres.removal import LONG_AGO, Batch
from token_service.app.sweeper import ROWS_PER_SECOND, Sweeper

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROW_SECONDS = 7e-6
ROWS = 400_000


class Table:
    """So many rows that are over, `way` seconds from here and back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, way: float) -> None:
        self.now = 0.0
        self.left = ROWS
        self.longest = 0.0
        self._way = way
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(asyncio, "sleep", self._sleep)

    async def __call__(self, now: datetime, limit: int, since: datetime = LONG_AGO) -> Batch:
        del now
        gone = min(limit, self.left)
        self.left -= gone
        self.longest = max(self.longest, gone * ROW_SECONDS)
        self.now += self._way + gone * ROW_SECONDS
        return Batch(gone, gone, max(since, NOW - timedelta(seconds=self.left + 1)))

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(
    ("way", "least"), [(0.0, 50_000), (0.001, 50_000), (0.002, 45_000), (0.005, 25_000)]
)
async def test_the_way_to_the_database_does_not_hold_it_up(
    monkeypatch: pytest.MonkeyPatch, way: float, least: int
) -> None:
    table: Any = Table(monkeypatch, way)
    await Sweeper((table,))(NOW)
    assert least <= ROWS / table.now <= ROWS_PER_SECOND * 1.01
    assert table.longest < 0.004
