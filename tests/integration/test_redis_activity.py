"""Activity markers against a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from token_service.adapters.redis import ActivityMarks, RedisGate, connect

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def gate(redis_url: str) -> AsyncIterator[RedisGate]:
    gate = RedisGate(connect(redis_url, timeout=5.0), budget=5.0)
    yield gate
    await gate.close()


async def test_one_node_of_many_writes_a_session(gate: RedisGate) -> None:
    sessions = [uuid4() for _ in range(700)]
    nodes = [ActivityMarks(gate, MINUTE, f"node-{n}".encode()) for n in range(4)]
    answers = await asyncio.gather(*(node.unmarked(sessions) for node in nodes))
    written = [session for answer in answers for session in answer]
    assert sorted(written) == sorted(sessions)


async def test_the_own_marker_keeps_nobody_from_trying_again(gate: RedisGate) -> None:
    session = uuid4()
    first, second = ActivityMarks(gate, MINUTE, b"a"), ActivityMarks(gate, MINUTE, b"b")
    assert await first.unmarked([session]) == [session]
    assert await second.unmarked([session]) == []
    assert await first.unmarked([session]) == [session]


async def test_a_marker_ends_with_the_interval(gate: RedisGate) -> None:
    session = uuid4()
    interval = timedelta(milliseconds=40)
    first, second = ActivityMarks(gate, interval, b"a"), ActivityMarks(gate, interval, b"b")
    assert await first.unmarked([session]) == [session]
    for _ in range(1000):
        if await second.unmarked([session]):
            return
        await asyncio.sleep(0.005)
    pytest.fail("the marker stays")


async def test_order_is_kept_and_repetitions_are_dropped(gate: RedisGate) -> None:
    one, two = UUID(int=1), UUID(int=2)
    assert await ActivityMarks(gate, MINUTE, b"a").unmarked([two, one, two]) == [two, one]


async def test_a_key_of_another_kind_counts_as_unmarked(gate: RedisGate) -> None:
    session = uuid4()
    assert isinstance(gate.client, Redis)
    await gate.client.rpush(gate.key("active", str(session)), "planted")
    assert await ActivityMarks(gate, MINUTE, b"a").unmarked([session]) == [session]
    assert not gate.away


async def test_after_a_flush_everyone_writes_once_more(gate: RedisGate) -> None:
    sessions = [uuid4() for _ in range(5)]
    first, second = ActivityMarks(gate, MINUTE, b"a"), ActivityMarks(gate, MINUTE, b"b")
    assert await first.unmarked(sessions) == sessions
    assert isinstance(gate.client, Redis)
    await gate.client.flushall()
    assert await second.unmarked(sessions) == sessions
    assert await first.unmarked(sessions) == []
