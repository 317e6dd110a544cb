"""Peers: how the connection of one that only costs is found, watched and ended."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import IPv6Address
from pathlib import Path

import grpc
import pytest

from tests.rpc.echo import (
    ALICE,
    ECHO,
    HOT,
    World,
    basic,
    connected,
    failure,
    raw,
    serving,
    stream_unary,
    text,
    unary_unary,
)
from tests.support.raw_http2 import call_headers, message, raw_connection
from tests.support.waiting import PATIENCE, patience, until
from token_service.rpc.network import connections
from token_service.rpc.network.connections import (
    connections_of,
)
from token_service.rpc.network.peers import ABANDONED, Peers


async def test_where_no_connection_can_be_ended_calls_given_up_are_held_against_nobody(
    tmp_path: Path,
) -> None:
    async with serving(listen=f"unix:{tmp_path}/s") as world:
        await give_up_calls(world)
        async with connected(world) as channel:
            reply = await unary_unary(channel, ECHO)(raw("x"), metadata=ALICE, timeout=PATIENCE)
            assert text(reply) == "x"


@pytest.mark.parametrize("method", [ECHO, HOT])
async def test_calls_that_the_server_kept_waiting_may_be_given_up(method: str) -> None:
    world, waiting, readable = World(), 0, asyncio.Event()

    async def stalled() -> None:
        nonlocal waiting
        waiting += 1
        await readable.wait()

    world.require_fresh = stalled  # type: ignore[method-assign]
    async with serving(world) as world, connected(world) as channel:
        call = unary_unary(channel, method)
        readable.set()
        await call(raw("x"), metadata=ALICE)
        readable.clear()
        world.fresh, waiting = False, 0
        calls = [call(raw("x"), metadata=ALICE) for _ in range(ABANDONED.burst + 10)]
        async with patience():
            while waiting < len(calls):
                await asyncio.sleep(0.01)
            for given_up in calls[1:]:
                given_up.cancel()
            while cancelled(world) < len(calls) - 1:
                await asyncio.sleep(0.01)
            (connection,) = connections_of(int(world.address.rpartition(":")[2]))
            assert world.pipeline is not None
            assert not world.pipeline.shared.peers.condemned(connection.peer)
            readable.set()
            assert text(await calls[0]) == "x"
            assert text(await call(raw("y"), metadata=ALICE)) == "y"


def cancelled(world: World) -> int:
    assert world.pipeline is not None
    methods = world.pipeline.counts().methods.values()
    return sum(counters.by_code.get("CANCELLED", 0) for counters in methods)


async def give_up_calls(world: World) -> None:
    """As many from one peer as would end its connection, where that could be ended."""
    async with connected(world) as channel:
        calls = [stream_unary(channel, ECHO)(metadata=ALICE) for _ in range(ABANDONED.burst + 1)]
        assert world.pipeline is not None
        arrivals = world.pipeline.shared.arrivals
        async with patience():
            while arrivals.waiting < len(calls):
                await asyncio.sleep(0.01)
            for call in calls:
                call.cancel()
            while arrivals.waiting:
                await asyncio.sleep(0.01)


async def until_watched(world: World, watched: bool) -> None:
    """Until connections are looked at, or not."""
    assert world.pipeline is not None
    peers = world.pipeline.shared.peers
    await until(lambda: peers.watching is watched)


async def test_late_requests_are_ended_also_while_there_are_no_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "_OPEN_FILES", "/nowhere")
    async with serving(arrival=0.1) as world:
        await until_watched(world, False)
        async with connected(world) as channel:
            late = await failure(stream_unary(channel, ECHO)(metadata=ALICE))
            assert late.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_the_watch_goes_on_when_files_are_there_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "_OPEN_FILES", "/nowhere")
    async with serving(arrival=60.0) as world:
        await until_watched(world, False)
        await give_up_calls(world)
        async with connected(world) as channel:
            await unary_unary(channel, ECHO)(raw("x"), metadata=ALICE)
        monkeypatch.undo()
        await until_watched(world, True)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "[::]", "[::] in a zone"])
async def test_a_peer_is_found_by_the_name_that_the_library_has_for_it(host: str) -> None:
    names: list[str] = []

    class Seeing(Peers):
        def recognise(self, peer: str) -> None:
            names.append(peer)

    world = World()
    try:
        served = serving(world, listen=f"{host.partition(' ')[0]}:0")
        async with served:
            assert world.pipeline is not None
            world.pipeline.shared.peers = Seeing(lambda: 0.0)
            port = int(world.address.rpartition(":")[2])
            targets = ["127.0.0.1", "[::1]"] if host == "[::]" else [host]
            for target in targets if "zone" not in host else [f"[{link_local()}]"]:
                world.address = f"{target}:{port}"
                async with connected(world) as channel:
                    await unary_unary(channel, ECHO)(raw("x"), metadata=ALICE)
                    found = {connection.peer: connection for connection in connections_of(port)}
                    assert names[-1] in found
                    assert found[names[-1]].received > 100
    except OSError:
        pytest.skip("this machine has no such address")


def link_local() -> str:
    """A link-local address of this machine with its zone. Raises OSError."""
    for line in Path("/proc/net/if_inet6").read_text().splitlines():
        digits, *_, interface = line.split()
        if digits.startswith("fe80"):
            return f"{IPv6Address(bytes.fromhex(digits))}%{interface}"
    raise OSError("there is none")


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        (ECHO, ()),
        (ECHO, (("authorization", basic("alice", "wrong")),)),
        ("/test.Echo/Nothing", ()),
        ("/grpc.health.v1.Health/Check", ()),
        ("/grpc.health.v1.Health/Watch", ()),
    ],
)
async def test_floods_of_strangers_end_whatever_they_are_refused_for(
    world: World, method: str, headers: Sequence[tuple[str, str]]
) -> None:
    flood = call_headers(method, headers)
    async with raw_connection(world.address, flood) as stranger, patience():
        with suppress(ConnectionError):
            for _ in range(1_000):
                await stranger.send(stranger.call(message(b"")))
        await stranger.closed.wait()
