"""The coarse limiter against a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from tests.support.gates import open_link, server_of
from token_service.adapters.redis import GcraLimiter, RedisGate

KEY = b"\x01" * 16
OTHER = b"\x02" * 16


@pytest.fixture
async def gate(redis_url: str) -> AsyncIterator[RedisGate]:
    async with open_link(redis_url) as link:
        yield RedisGate(link, budget=5.0)


async def test_a_burst_passes_and_the_next_waits_for_its_turn(gate: RedisGate) -> None:
    limiter = GcraLimiter(gate)
    burst = [await limiter.allow(KEY, per_minute=6, burst=5) for _ in range(5)]
    assert burst == [None] * 5
    wait = await limiter.allow(KEY, per_minute=6, burst=5)
    assert wait is not None
    assert timedelta(seconds=5) < wait <= timedelta(seconds=10)


async def test_keys_do_not_share_a_limit(gate: RedisGate) -> None:
    limiter = GcraLimiter(gate)
    assert await limiter.allow(KEY, per_minute=1, burst=1) is None
    assert await limiter.allow(KEY, per_minute=1, burst=1) is not None
    assert await limiter.allow(OTHER, per_minute=1, burst=1) is None


async def test_racers_get_one_burst_between_them(gate: RedisGate) -> None:
    limiter = GcraLimiter(gate)
    waits = await asyncio.gather(*(limiter.allow(KEY, per_minute=1, burst=7) for _ in range(64)))
    assert waits.count(None) == 7


async def test_what_was_waited_for_passes(gate: RedisGate) -> None:
    limiter = GcraLimiter(gate)
    assert await limiter.allow(KEY, per_minute=600, burst=1) is None
    wait = await limiter.allow(KEY, per_minute=600, burst=1)
    assert wait is not None
    assert wait <= timedelta(milliseconds=100)
    await asyncio.sleep(wait.total_seconds())
    assert await limiter.allow(KEY, per_minute=600, burst=1) is None


@pytest.mark.parametrize("planted", [b"9e15", b"inf", b"nan", b"-1e300", b"nonsense", b""])
async def test_a_planted_value_delays_for_no_longer_than_a_burst(
    gate: RedisGate, planted: bytes
) -> None:
    limiter = GcraLimiter(gate)
    await server_of(gate).set(gate.key("limit", KEY.hex()), planted)
    wait = await limiter.allow(KEY, per_minute=60, burst=3)
    assert wait is None or wait <= timedelta(seconds=1)


async def test_the_key_goes_with_the_limit(gate: RedisGate) -> None:
    limiter = GcraLimiter(gate)
    await limiter.allow(KEY, per_minute=6, burst=5)
    left = await server_of(gate).pttl(gate.key("limit", KEY.hex()))
    assert 0 < left <= 10_000


async def test_the_script_comes_back_after_a_flush(gate: RedisGate) -> None:
    limiter = GcraLimiter(gate)
    assert await limiter.allow(KEY, per_minute=1, burst=1) is None
    await server_of(gate).script_flush()
    await server_of(gate).flushall()
    assert await limiter.allow(KEY, per_minute=1, burst=1) is None
    assert await limiter.allow(KEY, per_minute=1, burst=1) is not None
