"""Activity marks against a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.support.gates import open_link, server_of
from token_service.adapters.redis import RedisActivityMarks, RedisGate
from token_service.domain.ports import ActivityMark

NOW = 1_800_000_000.123456
MARK = ActivityMark(NOW - 0.25, NOW + 59.75)


@pytest.fixture
async def gate(redis_url: str) -> AsyncIterator[RedisGate]:
    async with open_link(redis_url) as link:
        yield RedisGate(link, budget=5.0)


async def test_nodes_read_what_others_wrote(gate: RedisGate) -> None:
    sessions = [uuid4() for _ in range(700)]
    marks = {session: ActivityMark(NOW - n, NOW + 60) for n, session in enumerate(sessions[:600])}
    await RedisActivityMarks(gate).write(marks, NOW)
    assert await RedisActivityMarks(gate).read(sessions) == marks


async def test_a_mark_ends_with_the_interval(gate: RedisGate) -> None:
    session, over = uuid4(), uuid4()
    marks = RedisActivityMarks(gate)
    await marks.write({session: ActivityMark(NOW, NOW + 0.04), over: ActivityMark(NOW, NOW)}, NOW)
    for _ in range(1000):
        if not await marks.read([session, over]):
            return
        await asyncio.sleep(0.005)
    pytest.fail("the mark stays")


@pytest.mark.parametrize("planted", [b"planted", b"1 2 3", b"", b"nan", b"\xff \xff"])
async def test_what_is_no_mark_counts_as_none(gate: RedisGate, planted: bytes) -> None:
    session, other = uuid4(), uuid4()
    await server_of(gate).set(gate.key("used", str(session)), planted)
    await server_of(gate).rpush(gate.key("used", str(other)), "planted")
    assert await RedisActivityMarks(gate).read([session, other]) == {}
    assert not gate.away


async def test_after_a_flush_there_are_none(gate: RedisGate) -> None:
    session = uuid4()
    marks = RedisActivityMarks(gate)
    await marks.write({session: MARK}, NOW)
    assert await marks.read([session]) == {session: MARK}
    await server_of(gate).flushall()
    assert await marks.read([session]) == {}
