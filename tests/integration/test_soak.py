"""A few seconds of the soak work, at a fraction of its load; leaks are for a full run to find."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.soak.day import FULL_SECONDS, Plan
from tests.soak.limits import Course, broken, broken_tables, unanswered
from tests.soak.readings import Reading
from tests.soak.report import table
from tests.soak.run import Soak

FULL = Plan.of(FULL_SECONDS)
IDLE = Reading(
    at=0.0,
    rss=100.0,
    descriptors=40,
    threads=12,
    cpu=0.0,
    held={"tasks": 10, "trust_entries": 0, "calls_unary": 0, "calls_stream": 1},
)


def course(*busy: Reading, after: Reading = IDLE) -> Course:
    return Course("server", (IDLE, after), busy or (IDLE,))


def holding(**held: int) -> Reading:
    return replace(IDLE, held={**IDLE.held, **held})


def said(found: Sequence[str], *words: str) -> bool:
    return len(found) == 1 and all(word in found[0] for word in words)


@pytest.mark.slow
async def test_a_short_soak_ends_well(dsn: str, redis_url: str) -> None:
    notes: list[str] = []
    result = await Soak(Plan.of(3.0, load=0.2), notes.append).run(dsn, redis_url)
    assert [one for one in result.broken if not one.endswith("the machine is too slow")] == []
    assert not result.unexpected
    for kind in (
        "open a session: OK",
        "exchange: OK",
        "revoke: OK",
        "validate: OK",
        "cancelled exchange: CANCELLED",
        "watch the feed: OK",
        "gateway: ACTIVE where ACTIVE was due",
        "gateway: REVOKED where REVOKED was due",
    ):
        assert result.expected[kind] > 0, kind
    server, gateway = result.courses
    assert server.most("trust_entries") > 0
    assert gateway.most("tokens") > 0
    assert "too short to judge memory" in table(result)
    assert result.to_json()["processes"]["server"]["most_held"]["identities"] > 0
    assert any("entries" in note for note in notes), notes


def test_a_full_run_fills_all_tables_before_it_measures() -> None:
    assert FULL.long_enough
    assert FULL.counted_seconds > FULL.seconds / 2
    assert not Plan.of(60).long_enough


def test_nothing_is_said_of_what_stays() -> None:
    spare = replace(IDLE, rss=104.0, descriptors=43, threads=13)
    assert broken(course(IDLE, spare, after=spare), FULL, 1.0) == []


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (replace(IDLE, descriptors=50), "descriptors were 40 when idle before and 50"),
        (replace(IDLE, threads=20), "threads were 12 when idle before and 20"),
        (holding(tasks=14), "tasks were 10 when idle before and 14"),
        (holding(calls_stream=2), "2 of calls_stream are in flight"),
    ],
)
def test_what_is_left_when_all_is_over_is_said(after: Reading, words: str) -> None:
    assert said(broken(course(after=after), FULL, 1.0), words)


def test_a_short_run_may_go_on_to_fill_its_pools_but_leave_no_task() -> None:
    short = Plan.of(60)
    assert broken(course(after=replace(IDLE, descriptors=50, threads=20)), short, 1.0) == []
    assert said(broken(course(after=holding(tasks=14)), short, 1.0), "tasks were 10")


def test_growing_memory_is_said_where_there_was_time_to_fill_all_tables() -> None:
    grown = course(*(replace(IDLE, rss=100.0 + n) for n in range(12)))
    assert said(broken(grown, FULL, 1.0), "memory grew by 8.9%", "101.0 to 110.0 MiB")
    assert broken(grown, Plan.of(60), 1.0) == []


def test_a_table_beyond_its_bound_is_said() -> None:
    assert said(broken(course(holding(identities=50_001)), FULL, 1.0), "50001 identities")
    assert broken(course(holding(trust_entries=1_500)), FULL, 10.0) == []
    assert said(broken(course(holding(trust_entries=3_000)), FULL, 10.0), "3000 trust_entries")


def test_rows_that_were_not_swept_are_said() -> None:
    rows = {"trust_log": 1_500, "sessions": 15_000}
    assert broken_tables(rows, FULL, 10.0, 100.0) == []
    assert said(broken_tables({**rows, "trust_log": 6_000}, FULL, 10.0, 100.0), "6000 rows")
    assert broken_tables({**rows, "trust_log": 6_000}, Plan.of(60), 10.0, 100.0) == []


def test_a_validator_without_answers_is_said() -> None:
    good = {"ACTIVE where ACTIVE was due": 99}
    assert unanswered({**good, "unanswered overloaded where ACTIVE was due": 1}) == []
    assert said(unanswered({**good, "unanswered overloaded where ACTIVE was due": 5}), "4.8%")
