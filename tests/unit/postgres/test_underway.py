"""Connections that take longer to be made than the call that asked for one may wait."""

import asyncio

import pytest

from tests.support.waiting import patience
from token_service.adapters.postgres import underway
from token_service.adapters.postgres.primary import Connection
from token_service.adapters.postgres.underway import Underway


class FakeConnection:
    """What a made connection is to who keeps it."""

    def __init__(self) -> None:
        self.ended = False

    def is_closed(self) -> bool:
        return self.ended

    def terminate(self) -> None:
        self.ended = True


class SlowServer:
    """Connections are made when the test lets them."""

    def __init__(self) -> None:
        self.asked = 0
        self.made: list[FakeConnection] = []
        self.go_on = asyncio.Event()
        self.error: Exception | None = None

    async def make(self) -> Connection:
        self.asked += 1
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        self.made.append(FakeConnection())
        return self.made[-1]  # type: ignore[return-value]


@pytest.fixture
def server() -> SlowServer:
    return SlowServer()


@pytest.fixture
def connections(server: SlowServer) -> Underway:
    return Underway(server.make)


async def taken_from(connections: Underway) -> object:
    return await connections.connection()


async def leaves(connections: Underway) -> None:
    """Somebody who asks for a connection and goes away."""
    asking = asyncio.create_task(connections.connection())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_the_next_call_gets_what_the_last_one_left(
    server: SlowServer, connections: Underway
) -> None:
    await leaves(connections)
    server.go_on.set()
    assert await taken_from(connections) is server.made[0]
    assert server.asked == 1


async def test_one_that_takes_too_long_is_left_by_itself(
    server: SlowServer, connections: Underway
) -> None:
    connections.within = 0.01
    with pytest.raises(TimeoutError):
        await connections.connection()
    server.go_on.set()
    async with patience():
        while not server.made:
            await asyncio.sleep(0)
    assert await taken_from(connections) is server.made[0]


async def test_each_of_several_is_taken_once(server: SlowServer, connections: Underway) -> None:
    asking = [asyncio.create_task(connections.connection()) for _ in range(3)]
    while server.asked < len(asking):
        await asyncio.sleep(0)
    for one in asking:
        one.cancel()
    await asyncio.wait(asking)
    server.go_on.set()
    taken = [await connections.connection() for _ in range(4)]
    assert sorted(map(id, taken)) == sorted(map(id, server.made))
    assert server.asked == 4


async def test_one_that_was_closed_meanwhile_is_not_given(
    server: SlowServer, connections: Underway
) -> None:
    server.go_on.set()
    await leaves(connections)
    await asyncio.sleep(0)
    server.made[0].ended = True
    assert await taken_from(connections) is server.made[1]


async def test_a_failure_that_nobody_waited_for_is_forgotten(
    server: SlowServer, connections: Underway
) -> None:
    server.error = ConnectionRefusedError()
    await leaves(connections)
    server.go_on.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    server.error = None
    assert await taken_from(connections) is server.made[0]


async def test_one_that_nobody_takes_is_closed(
    server: SlowServer, connections: Underway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(underway, "KEPT_SECONDS", 0.0)
    await leaves(connections)
    server.go_on.set()
    async with patience():
        while not (server.made and server.made[0].ended):
            await asyncio.sleep(0)


async def test_one_that_may_lead_to_a_former_primary_is_not_given(
    server: SlowServer, connections: Underway
) -> None:
    server.go_on.set()
    await leaves(connections)
    async with patience():
        while not server.made:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    connections.forget_made()
    assert server.made[0].ended
    assert await taken_from(connections) is server.made[1]


async def test_at_the_end_all_are_closed(server: SlowServer, connections: Underway) -> None:
    await leaves(connections)
    server.go_on.set()
    async with patience():
        while not server.made:
            await asyncio.sleep(0)
    connections.close()
    await asyncio.sleep(0)
    assert [one for one in server.made if not one.ended] == []
    server.go_on.clear()
    await leaves(connections)
    server.go_on.set()
    await asyncio.sleep(0)
    assert [one for one in server.made if not one.ended] == []
