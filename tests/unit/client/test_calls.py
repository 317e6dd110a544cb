"""Deadlines and retries: again only where that is safe, and never past the deadline."""

from datetime import timedelta
from typing import Any

import pytest
from grpc import StatusCode

from tests.support.client_fakes import FakeConnection, FakeTime, rpc_error
from tokenservice import TokenServiceError, Unreachable
from tokenservice._transport.calls import Effort

REPEATABLE = Effort(10.0, repeatable=True, attempt_timeout=3.0)
ONCE = Effort(10.0)

GONE = rpc_error(StatusCode.UNAVAILABLE)
BUSY = rpc_error(StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after=1.0)
STOPPING = rpc_error(StatusCode.UNAVAILABLE, "SHUTTING_DOWN", retry_after=0.1)
NO_STORE = rpc_error(StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", retry_after=1.0)
LOCKED = rpc_error(StatusCode.RESOURCE_EXHAUSTED, "ACCOUNT_LOCKED", retry_after=1.0)
STRANGER = rpc_error(StatusCode.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED")
DENIED = rpc_error(StatusCode.PERMISSION_DENIED, "PERMISSION_MISSING")


async def call(connection: FakeConnection, effort: Effort, within: timedelta | None = None) -> Any:
    def method(stubs: Any) -> Any:
        return stubs.method

    return await connection.calls().call(method, "request", effort, within)


@pytest.mark.parametrize(
    ("effort", "error", "again"),
    [
        (REPEATABLE, GONE, True),
        (REPEATABLE, NO_STORE, True),
        (REPEATABLE, 99.0, True),
        (REPEATABLE, STOPPING, True),
        (REPEATABLE, BUSY, True),
        (REPEATABLE, LOCKED, False),
        (REPEATABLE, STRANGER, False),
        (REPEATABLE, DENIED, False),
        # The outcome is unknown: it may have been done.
        (ONCE, GONE, False),
        (ONCE, NO_STORE, False),
        (ONCE, 4.0, False),
        # It was refused before anything was done.
        (ONCE, STOPPING, True),
        (ONCE, BUSY, True),
        (ONCE, LOCKED, False),
        (ONCE, DENIED, False),
    ],
)
async def test_what_is_tried_again(effort: Effort, error: Any, again: bool) -> None:
    connection = FakeConnection(FakeTime(), error, "done")
    if again:
        assert await call(connection, effort) == "done"
        assert connection.requests == ["request"] * 2
        assert connection.failures == (error is not BUSY)
    else:
        with pytest.raises(TokenServiceError):
            await call(connection, effort)
        assert connection.requests == ["request"]


async def test_pauses_grow_and_respect_what_the_server_asks_for() -> None:
    time = FakeTime()
    assert await call(FakeConnection(time, GONE, GONE, GONE, "done"), REPEATABLE) == "done"
    assert time.slept == pytest.approx([0.0375, 0.075, 0.15])
    time = FakeTime()
    assert await call(FakeConnection(time, NO_STORE, BUSY, "done"), REPEATABLE) == "done"
    assert all(seconds >= 1.0 for seconds in time.slept)


async def test_the_deadline_holds_for_all_attempts_together() -> None:
    time = FakeTime()
    connection = FakeConnection(time, *[99.0] * 9)
    started = time.now
    with pytest.raises(Unreachable, match="DEADLINE_EXCEEDED"):
        await call(connection, REPEATABLE)
    assert time.now - started <= 10.0
    assert connection.timeouts[:3] == [3.0, 3.0, 3.0]
    assert len(connection.timeouts) == 4
    assert connection.timeouts[3] < 1.0


async def test_a_call_that_is_sent_once_gets_the_whole_time() -> None:
    connection = FakeConnection(FakeTime(), "done")
    await call(connection, ONCE)
    assert connection.timeouts == [10.0]


async def test_nobody_waits_for_what_comes_too_late() -> None:
    time = FakeTime()
    late = rpc_error(StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=60.0)
    with pytest.raises(TokenServiceError) as caught:
        await call(FakeConnection(time, late), REPEATABLE)
    assert (caught.value.retry_after, time.slept) == (timedelta(minutes=1), [])


async def test_the_last_error_is_the_one_that_is_raised() -> None:
    connection = FakeConnection(FakeTime(), GONE, DENIED)
    with pytest.raises(TokenServiceError, match="PERMISSION_MISSING"):
        await call(connection, REPEATABLE)


async def test_what_must_not_be_sent_twice_waits_for_a_server() -> None:
    connection = FakeConnection(FakeTime())
    connection.reachable = False
    with pytest.raises(Unreachable, match="no server can be reached"):
        await call(connection, ONCE, within=timedelta(seconds=0.05))
    assert connection.requests == []


@pytest.mark.parametrize("effort", [ONCE, REPEATABLE])
async def test_another_credential_is_tried_once(effort: Effort) -> None:
    connection = FakeConnection(FakeTime(), STRANGER, "done")
    connection.renewable = True
    assert await call(connection, effort) == "done"
    connection = FakeConnection(FakeTime(), STRANGER, STRANGER, "never")
    connection.renewable = True
    with pytest.raises(TokenServiceError, match="CALLER_UNAUTHENTICATED"):
        await call(connection, effort)
    assert connection.renewed == 1
