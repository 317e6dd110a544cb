"""How many connections there may be, and how one is ended."""

import asyncio
import os
import resource
import select
import socket
import struct
import time
from contextlib import AsyncExitStack, suppress

import pytest

from tests.rpc.echo import (
    ALICE,
    ECHO,
    World,
    connected,
    raw,
    serving,
    unary_unary,
)
from tests.support.elsewhere import seen_from
from tests.support.raw_http2 import RawConnection, call_headers, message, raw_connection
from tests.support.waiting import PATIENCE, patience, until
from token_service.rpc.network.connections import (
    OTHER_FILES,
    Connection,
    ConnectionLimits,
    affordable,
    connections_of,
    shut_down,
    shut_down_again,
)


async def test_an_ended_connection_is_another_by_then(world: World) -> None:
    port = int(world.address.rpartition(":")[2])
    async with raw_connection(world.address, call_headers(ECHO)) as raw_client:
        (connection,) = await found(port, 1)
        assert not shut_down(Connection(connection.file, "ipv4:192.0.2.7:1", "", 0))
        assert shut_down(connection)
        async with patience():
            await raw_client.closed.wait()
    assert not shut_down(connection)


@pytest.mark.parametrize("reset", [False, True])
def test_who_polls_is_woken_again_until_the_socket_is_closed(reset: bool) -> None:
    """The library polls for changes alone, and may have overlooked the first one."""
    with socket.create_server(("127.0.0.1", 0)) as listener, select.epoll() as poll:
        client = socket.create_connection(listener.getsockname())
        served, _ = listener.accept()
        inode = os.fstat(served.fileno()).st_ino
        (connection,) = connections_of(listener.getsockname()[1])
        poll.register(served, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        client.sendall(b"the last data")
        assert shut_down(connection)
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        time.sleep(0.05)
        assert poll.poll(0)
        assert not poll.poll(0)
        for _ in range(2):
            assert shut_down_again(served.fileno(), inode)
            assert poll.poll(0)
        assert not shut_down_again(served.fileno(), inode + 1)
        number = served.fileno()
        served.close()
        assert not shut_down_again(number, inode)
        client.close()


async def found(port: int, number: int) -> list[Connection]:
    async with patience():
        while len(result := connections_of(port)) != number:
            await asyncio.sleep(0.01)
    return result


async def open_connections(stack: AsyncExitStack, address: str, number: int) -> list[RawConnection]:
    return [
        await stack.enter_async_context(raw_connection(address, call_headers(ECHO, ALICE)))
        for _ in range(number)
    ]


async def client_connection(stack: AsyncExitStack, address: str) -> RawConnection:
    """A connection that a client has called over. One that comes when most places are taken may
    be ended before its call is looked at, and is opened again."""
    async with patience():
        while True:
            (client,) = await open_connections(stack, address, 1)
            with suppress(ConnectionError):
                await client.send(client.call(message(raw("x"))))
            while not client.ended and not client.closed.is_set():
                await asyncio.sleep(0.01)
            if client.ended:
                return client


async def test_connections_from_each_address_are_bounded() -> None:
    limits = ConnectionLimits(most=100, most_per_address=3)
    async with serving(connections=limits) as world, AsyncExitStack() as stack:
        port = int(world.address.rpartition(":")[2])
        first = [await client_connection(stack, world.address) for _ in range(3)]
        await open_connections(stack, world.address, 2)
        await found(port, 3)
        elsewhere = await stack.enter_async_context(seen_from("127.0.0.2", world.address))
        await open_connections(stack, elsewhere, 3)
        assert len(await found(port, 6)) == 6
        assert not any(client.closed.is_set() for client in first)


async def test_connections_are_bounded_in_total() -> None:
    limits = ConnectionLimits(most=5, most_per_address=100)
    async with serving(connections=limits) as world, AsyncExitStack() as stack:
        port = int(world.address.rpartition(":")[2])
        clients = [await client_connection(stack, world.address) for _ in range(5)]
        (late,) = await open_connections(stack, world.address, 1)
        async with patience():
            await late.closed.wait()
        assert len(await found(port, 5)) == 5
        assert not any(client.closed.is_set() for client in clients)


async def test_connections_that_nobody_calls_over_keep_no_client_out() -> None:
    limits = ConnectionLimits(most=8, most_per_address=8)
    async with serving(connections=limits) as world, AsyncExitStack() as stack:
        idle = await open_connections(stack, world.address, 8)
        async with connected(world) as channel:
            call = unary_unary(channel, ECHO)
            await call(raw("x"), metadata=ALICE, wait_for_ready=True, timeout=PATIENCE)
        await until(lambda: sum(one.closed.is_set() for one in idle) >= 2)


async def test_who_does_not_finish_its_greeting_is_not_waited_for() -> None:
    async with serving(handshake_timeout=0.2) as world:
        host, _, port = world.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"PRI * HTT")
        async with patience():
            await reader.read()
        writer.close()
        await found(int(port), 0)


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The limits of open files, soft and hard, as they are set; the first is what there is."""
    limits = [(300, 1_000)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    return limits


def test_files_for_all_connections_are_asked_for(files: list[tuple[int, int]]) -> None:
    assert affordable(500) == 500
    assert files == [(300, 1_000), (500 + OTHER_FILES, 1_000)]


def test_there_are_no_more_connections_than_files(files: list[tuple[int, int]]) -> None:
    assert affordable(5_000) == 1_000 - OTHER_FILES
    assert files[-1] == (1_000, 1_000)


def test_no_limit_of_files_is_none(files: list[tuple[int, int]]) -> None:
    files.append((resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert affordable(5_000) == 5_000
    assert len(files) == 2
