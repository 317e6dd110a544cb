"""What counts as a regression, and where its margin comes from."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench import comparison
from tests.bench.comparison import Better, Recorded, regressions, to_record

CPU = Recorded(ratio=2.0, margin=0.1, better=Better.LOWER)
THROUGHPUT = Recorded(ratio=4.0, margin=0.25, better=Better.HIGHER)
BOTH = {"cpu": CPU, "throughput": THROUGHPUT}


@pytest.mark.parametrize(
    ("cpu", "throughput", "worse"),
    [
        (2.0, 4.0, set()),
        (2.2, 3.0, set()),
        (1.0, 9.0, set()),
        (2.21, 4.0, {"cpu"}),
        (2.0, 2.99, {"throughput"}),
        (3.0, 1.0, {"cpu", "throughput"}),
    ],
)
def test_only_what_is_worse_by_more_than_its_margin(
    cpu: float, throughput: float, worse: set[str]
) -> None:
    assert set(regressions(BOTH, {"cpu": cpu, "throughput": throughput})) == worse


def test_the_line_says_all_that_is_needed() -> None:
    found = regressions({"cpu": CPU}, {"cpu": 2.5})
    assert found == {"cpu": "cpu: 2.500, recorded 2.000 (+25 %); at most 2.200 passes"}
    found = regressions({"throughput": THROUGHPUT}, {"throughput": 2.0})
    assert found["throughput"].endswith("recorded 4.000 (-50 %); at least 3.000 passes")


def test_what_was_not_measured_is_no_success() -> None:
    assert regressions(BOTH, {"cpu": 2.0}) == {
        "throughput": "throughput: recorded, but not measured"
    }
    assert regressions({}, {"new": 1.0}) == {}


@given(st.lists(st.floats(0.5, 50), min_size=10, max_size=30), st.sampled_from(Better))
def test_every_run_that_was_recorded_would_have_passed(values: list[float], better: Better) -> None:
    recorded = to_record(values, better)
    assert recorded.margin >= comparison.LEAST_MARGIN
    slack = 0.001  # the record is rounded
    for value in values:
        eased = value - slack if better is Better.LOWER else value + slack
        assert recorded.allows(eased)


def test_the_margin_is_of_the_worse_side_alone() -> None:
    values = [1.0] * 9 + [3.0]
    assert to_record(values, Better.LOWER).margin == 4.0
    assert to_record(values, Better.HIGHER).margin == comparison.LEAST_MARGIN


def test_a_few_runs_are_no_spread() -> None:
    with pytest.raises(ValueError, match="10 runs, not 9"):
        to_record([1.0] * 9, Better.LOWER)


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "recorded.json"
    comparison.write(BOTH, path)
    assert comparison.read(path) == BOTH


def test_what_is_recorded_is_what_the_quick_bench_measures() -> None:
    from tests.bench.quick import RATIOS

    assert {name: one.better for name, one in comparison.read().items()} == RATIOS
