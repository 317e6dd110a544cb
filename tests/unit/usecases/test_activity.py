"""A session in use never expires, whoever sees its use and however short its idle lifetime is.

Nodes and gateways gather uses in memory and tell of them in rounds; the store refuses what comes
after the idle deadline. Time is a number here, so hours of use take no time.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

from hypothesis import example, given, settings
from hypothesis import strategies as st

from token_service.domain.clients.caller import Caller
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.clients.policy_rules import MIN_IDLE
from token_service.domain.kinds import Permission
from token_service.domain.ports import ActivityMark, ActivityRecord
from token_service.usecases.tokens.activity import ActivityRecorder, ReportActivity
from tokenservice._decisions.activity import REPORT_SECONDS, SAMPLE_SECONDS, ActivityLog

SESSION = UUID(int=1)
BEGIN = 1_800_000_000.0
ROUND = 1.0
"""Seconds between two rounds of writing on a node."""
WRITING = 0.25
"""What writing itself may take."""
SLOWEST_REPORT = 1.5 * REPORT_SECONDS
GATEWAY = Caller(
    "gateway",
    ClientPolicy(
        permissions=frozenset({Permission.TRUST_WATCH}), protects_audiences=frozenset({"orders"})
    ),
)


class Time:
    """The clock of everybody."""

    def __init__(self) -> None:
        self.at = BEGIN

    def unix(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


class Row:
    """One session as the store keeps it: `record_activity` by its contract."""

    def __init__(self, idle: float, time: Time) -> None:
        self.idle = idle
        self.time = time
        self.last = BEGIN
        self.writes = 0

    @property
    def live(self) -> bool:
        return self.time.at < self.last + self.idle

    async def record_activity(
        self, seen: Sequence[tuple[UUID, datetime]], now: datetime, audiences: object = None
    ) -> ActivityRecord:
        del audiences
        if not self.live:
            return ActivityRecord(0, {})
        at = min(max(at.timestamp() for _, at in seen), now.timestamp())
        later = at > self.last
        self.last = max(at, self.last)
        self.writes += later
        return ActivityRecord(later, {SESSION: timedelta(seconds=self.idle)})


class Shared:
    """Marks that all nodes see, or none does."""

    def __init__(self, reachable: bool) -> None:
        self.kept: dict[UUID, ActivityMark] = {}
        self.reachable = reachable

    async def read(self, session_ids: Sequence[UUID]) -> Mapping[UUID, ActivityMark]:
        del session_ids
        return self.kept if self.reachable else {}

    async def write(self, marks: Mapping[UUID, ActivityMark], now: float) -> None:
        del now
        self.kept |= marks


class Gateway:
    """A local validator as far as activity goes: it looks now and then, and reports in rounds."""

    def __init__(self, row: Row, time: Time) -> None:
        self.log = ActivityLog()
        self._report = ReportActivity(cast("Any", row), cast("Any", time))
        self._time = time
        self._looks_at = 0.0

    def touch(self, session_id: str, at: float) -> None:
        if at >= self._looks_at:
            self.log.touch(session_id, at)
            self._looks_at = at + SAMPLE_SECONDS

    async def flush(self) -> None:
        while batch := self.log.take(self._time.at):
            seen = [(UUID(one), datetime.fromtimestamp(at, UTC)) for one, at in batch.items()]
            interval = timedelta(seconds=self.log.interval)
            shorter = await self._report(GATEWAY, seen, interval)
            own = {str(one): interval.total_seconds() for one, interval in shorter.items()}
            self.log.reported(batch, own)


def nodes(count: int, row: Row, time: Time, marks: Shared, interval: float) -> list[Any]:
    return [
        ActivityRecorder(cast("Any", row), marks, cast("Any", time), interval) for _ in range(count)
    ]


async def lives(
    row: Row,
    time: Time,
    witnesses: Sequence[Any],
    gaps: Sequence[tuple[float, int]],
    *,
    every: float,
) -> bool:
    """Use the session after each gap at one of the witnesses, which tell of it in rounds `every`
    so many seconds; whether it lived throughout."""
    due = [time.at + every * (number + 1) / len(witnesses) for number in range(len(witnesses))]
    for gap, number in gaps:
        use_at = time.at + gap
        while min(due) + WRITING <= use_at:
            next_one = due.index(min(due))
            time.at = due[next_one] + WRITING
            await witnesses[next_one].flush()
            due[next_one] += every
        time.at = use_at
        if not row.live:
            return False
        witnesses[number % len(witnesses)].touch(str(SESSION), time.at)
    return True


_idle = st.one_of(st.just(MIN_IDLE.total_seconds()), st.floats(MIN_IDLE.total_seconds(), 300.0))
_shares = st.lists(
    st.tuples(st.floats(0.001, 1.0) | st.just(1.0), st.integers(0, 3)), min_size=2, max_size=30
)


@settings(max_examples=100)
@given(_idle, _shares, st.integers(1, 4), st.booleans(), st.sampled_from([1.0, 60.0, 86_400.0]))
@example(60.0, [(1.0, 0)] * 20, 1, True, 60.0)
@example(60.0, [(0.01, 0), (0.9, 0), (1.0, 0)] * 20, 1, True, 60.0)
@example(60.0, [(0.01, 0), (0.02, 0), (0.2, 0), (1.0, 0)], 1, True, 60.0)
@example(60.0, [(0.01, 0), (0.2, 1), (1.0, 0)], 2, True, 60.0)
@example(240.0, [(0.25, 1), (0.1, 0), (0.9, 2)] * 20, 3, True, 60.0)
def test_a_session_that_a_node_sees_in_use_never_expires(
    idle: float, shares: list[tuple[float, int]], count: int, reachable: bool, interval: float
) -> None:
    time = Time()
    row, marks = Row(idle, time), Shared(reachable)
    longest = idle - ROUND - 2 * WRITING
    gaps = [(share * longest, number) for share, number in shares]
    witnesses = nodes(count, row, time, marks, interval)
    assert asyncio.run(lives(row, time, witnesses, gaps, every=ROUND))


@settings(max_examples=100)
@given(_idle, _shares, st.integers(1, 4))
@example(60.0, [(1.0, 0)] * 20, 1)
@example(60.0, [(0.1, 0), (0.2, 0), (1.0, 0)] * 20, 1)
@example(60.0, [(0.1, 0), (0.3, 0), (0.2, 0), (1.0, 0)], 1)
@example(60.0, [(0.3, 0), (0.05, 1), (1.0, 0)] * 20, 2)
def test_a_session_that_a_gateway_sees_in_use_never_expires(
    idle: float, shares: list[tuple[float, int]], count: int
) -> None:
    time = Time()
    row = Row(idle, time)
    longest = idle - SLOWEST_REPORT - SAMPLE_SECONDS - 2 * WRITING
    gaps = [(share * longest, number) for share, number in shares]
    witnesses = [Gateway(row, time) for _ in range(count)]
    assert asyncio.run(lives(row, time, witnesses, gaps, every=SLOWEST_REPORT))


def test_one_of_many_nodes_writes_and_not_too_often() -> None:
    time = Time()
    row = Row(3600.0, time)
    witnesses = nodes(4, row, time, Shared(reachable=True), 60.0)
    gaps = [(0.2, number) for number in range(5 * 3600)]
    assert asyncio.run(lives(row, time, witnesses, gaps, every=ROUND))
    assert 55 <= row.writes <= 65


def test_a_session_that_nobody_uses_expires() -> None:
    time = Time()
    row = Row(60.0, time)
    witnesses = nodes(2, row, time, Shared(reachable=True), 60.0)
    assert not asyncio.run(lives(row, time, witnesses, [(1.0, 0), (62.0, 0)], every=ROUND))


def test_what_the_store_did_not_take_is_written_later() -> None:
    time = Time()
    row = Row(60.0, time)
    failing = True

    async def fails(*args: Any) -> ActivityRecord:
        if failing:
            raise ConnectionError
        return await row.record_activity(*args)

    store = cast("Any", SimpleNamespace(record_activity=fails))
    recorder = ActivityRecorder(store, Shared(reachable=True), cast("Any", time))
    time.at += 1
    recorder.touch(str(SESSION), time.at)
    for _ in range(2):
        try:
            asyncio.run(recorder.flush())
        except ConnectionError:
            assert failing
            failing = False
    assert (row.last, row.writes) == (BEGIN + 1, 1)
