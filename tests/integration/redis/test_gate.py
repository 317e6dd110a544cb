"""A Redis that is killed, stopped, demoted or slow costs a moment, and never an error."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisClusterException
from structlog.testing import capture_logs

from tests.support.gates import CountingGate, open_link, server_of
from tests.support.hands import Hands
from tests.support.waiting import PATIENCE, until
from token_service.adapters.embedded import EmbeddedValkey
from token_service.adapters.redis import (
    GcraLimiter,
    RedisActivityMarks,
    RedisAway,
    RedisClient,
    RedisGate,
)
from token_service.domain import deadline
from token_service.domain.ports import ActivityMark

KEY = b"\x01" * 16
CROWD = 100


@pytest.fixture
def valkey(open_dir: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(open_dir / f"valkey-{uuid4().hex[:8]}") as server:
        yield server


@pytest.fixture
async def gate(valkey: EmbeddedValkey) -> AsyncIterator[RedisGate]:
    async with open_link(valkey.url) as link:
        yield RedisGate(link)


@pytest.fixture
async def still(valkey: EmbeddedValkey) -> AsyncIterator[CountingGate]:
    """Nothing is tried again; the budget is the usual one."""
    async with open_link(valkey.url, pause=PATIENCE) as link:
        yield CountingGate(link, monotonic=Hands())


@pytest.fixture
async def patient(valkey: EmbeddedValkey) -> AsyncIterator[RedisGate]:
    """For what is not about time: a busy machine is no failure."""
    async with open_link(valkey.url) as link:
        yield RedisGate(link, budget=1.0)


async def ping(client: RedisClient) -> object:
    return await client.set("ping", b"1")


async def hang(client: RedisClient) -> object:
    """Wait for an element that never comes: a server too busy to answer."""
    assert isinstance(client, Redis)
    return await client.blpop(["nothing"], timeout=0)


async def nonsense(client: RedisClient) -> object:
    assert isinstance(client, Redis)
    return await client.eval("no lua", 0, "canary-5e")


async def put(client: RedisClient, key: str, value: bytes) -> object:
    return await client.set(key, value)


async def warm(gate: RedisGate) -> None:
    """Connect, however slow this machine is at the moment."""
    for _ in range(16):
        try:
            await gate.ask(ping)
        except RedisAway:
            await asyncio.sleep(0.25)
        else:
            return
    pytest.fail("Valkey does not answer")


async def budgets(gate: RedisGate, callers: int) -> float:
    """Seconds until so many callers who ask together have all been told that Redis is away."""
    began = time.monotonic()
    answers = await asyncio.gather(
        *(gate.ask(ping) for _ in range(callers)), return_exceptions=True
    )
    assert {type(answer) for answer in answers} == {RedisAway}
    return time.monotonic() - began


async def everything(gate: RedisGate) -> None:
    """Use each part as if nothing were wrong; none may raise, all must let work go on."""
    assert await GcraLimiter(gate).allow(KEY, per_minute=1, burst=1) is None
    sessions = [uuid4() for _ in range(600)]
    marks = RedisActivityMarks(gate)
    await marks.write(dict.fromkeys(sessions, ActivityMark(1.0, 61.0)), 1.0)
    assert await marks.read(sessions) == {}


async def test_a_killed_server_is_asked_once(valkey: EmbeddedValkey, still: CountingGate) -> None:
    await warm(still)
    valkey.crash()
    still.tried = 0
    for _ in range(10):
        await everything(still)
    assert still.tried == 1
    assert still.away


async def test_a_stopped_server_costs_one_budget(
    valkey: EmbeddedValkey, still: CountingGate
) -> None:
    await warm(still)
    os.kill(valkey.pid, signal.SIGSTOP)
    try:
        still.tried = 0
        for _ in range(10):
            await everything(still)
        assert still.tried == 1
        assert still.away
    finally:
        os.kill(valkey.pid, signal.SIGCONT)


async def test_a_server_stopped_under_many_callers_costs_them_one_budget_together(
    valkey: EmbeddedValkey,
) -> None:
    """They wait at the same time, and not for one another's connections."""
    async with open_link(valkey.url) as one, open_link(valkey.url) as other:
        alone, crowded = RedisGate(one, budget=0.2), RedisGate(other, budget=0.2)
        await warm(alone)
        await warm(crowded)
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            assert await budgets(alone, 1) * CROWD / 5 > await budgets(crowded, CROWD)
        finally:
            os.kill(valkey.pid, signal.SIGCONT)


async def test_no_reply_is_taken_for_another_commands_after_a_pause(
    valkey: EmbeddedValkey,
) -> None:
    async with open_link(valkey.url, connections=2, pause=0.0) as link:
        gate = RedisGate(link, pause=0.0)
        await warm(gate)
        for round_ in range(5):
            os.kill(valkey.pid, signal.SIGSTOP)
            await asyncio.gather(
                *(gate.ask(partial(put, key=f"late-{n}", value=b"late")) for n in range(8)),
                return_exceptions=True,
            )
            os.kill(valkey.pid, signal.SIGCONT)
            await warm(gate)
            for n in range(8):
                value = f"{round_}-{n}".encode()
                await server_of(gate).set("own", value)
                assert await server_of(gate).get("own") == value


async def test_one_caller_tries_a_late_server_again_after_the_pause(
    valkey: EmbeddedValkey,
) -> None:
    hands = Hands()
    async with open_link(valkey.url, patience=0.3) as link:
        gate = RedisGate(link, monotonic=hands, budget=0.2)
        await warm(gate)
        with pytest.raises(RedisAway):
            await gate.ask(hang)
        assert gate.away
        await until(lambda: link.client is None)
        await until(lambda: link.client)
        tries = 0

        async def count(client: RedisClient) -> object:
            nonlocal tries
            tries += 1
            await asyncio.sleep(0)
            return await ping(client)

        hands.now += 0.9
        with pytest.raises(RedisAway):
            await gate.ask(count)
        assert tries == 0
        hands.now += 0.2
        answers = await asyncio.gather(
            *(gate.ask(count) for _ in range(20)), return_exceptions=True
        )
        assert tries == 1
        assert [type(answer) for answer in answers].count(RedisAway) == 19
        await gate.ask(ping)


async def test_a_restarted_server_is_used_again(valkey: EmbeddedValkey) -> None:
    async with open_link(valkey.url, pause=0.01) as link:
        gate = RedisGate(link, budget=5.0)
        await asyncio.gather(*(gate.ask(ping) for _ in range(20)))
        valkey.crash()
        with pytest.raises(RedisAway):
            await gate.ask(ping)
        valkey.start()
        await until(lambda: link.client)
        # No connection of the former server comes up again, whichever of the pool's is taken.
        await asyncio.gather(*(gate.ask(ping) for _ in range(40)))
        assert not gate.away


async def test_a_hurried_caller_blames_nobody(patient: RedisGate) -> None:
    await warm(patient)
    with deadline.until(0.005), pytest.raises(RedisAway):
        await patient.ask(hang)
    assert not patient.away


async def test_a_busy_process_blames_itself(gate: RedisGate) -> None:
    await warm(gate)

    async def blocked(client: RedisClient) -> object:
        time.sleep(0.15)  # noqa: ASYNC251 - the event loop is to stand still
        return await hang(client)

    with pytest.raises(RedisAway):
        await gate.ask(blocked)
    assert not gate.away


async def test_a_refused_command_is_no_reason_to_stay_away(patient: RedisGate) -> None:
    await warm(patient)
    with capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(RedisAway):
                await patient.ask(nonsense)
    assert not patient.away
    assert [line["event"] for line in lines] == ["redis_refuses_command"]
    assert "canary-5e" not in repr(lines)


async def test_a_demoted_primary_is_left(patient: RedisGate) -> None:
    await warm(patient)
    await server_of(patient).replicaof("127.0.0.1", 1)
    with pytest.raises(RedisAway):
        await patient.ask(ping)
    assert patient.away


async def test_cancellation_passes_through(patient: RedisGate) -> None:
    await warm(patient)
    task = asyncio.create_task(patient.ask(hang))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not patient.away
    await patient.ask(ping)


@pytest.mark.parametrize(
    "error", [RedisClusterException("no node"), RuntimeError("a bug of the library"), KeyError("x")]
)
async def test_whatever_the_library_raises_is_redis_being_away(
    still: CountingGate, error: Exception
) -> None:
    """A RedisClusterException, for one, is no RedisError."""

    async def fail(_: RedisClient) -> None:
        raise error

    with capture_logs() as logs, pytest.raises(RedisAway):
        await still.ask(fail)
    assert still.away
    assert [line["error"] for line in logs] == [type(error).__name__]
