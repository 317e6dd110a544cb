"""The feed of a real server process, and watchers of all kinds."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import grpc
import pytest
import pytest_asyncio
from grpc import StatusCode

from tests.conftest import Stores
from tests.support.api import Api, basic, reason_of
from tests.support.fixtures import SEEDED
from tests.support.servers import ServerProcess
from tests.support.waiting import patience
from tests.support.world import World
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust import log as trust
from token_service.domain.kinds import RevocationReason, TrustEffect, TrustEntryKind
from tokenservice.v1 import client_service_pb2 as clients_pb
from tokenservice.v1 import trust_service_pb2 as pb

HEARTBEAT = 0.2
STALENESS = 2.0
MAX_STREAMS = 12
OWN_STREAMS = 9
"""What one client may have of them."""
BULK = 4_000
"""Entries in one go: many times what a client takes without reading it."""

Watch = grpc.aio.UnaryStreamCall[pb.WatchTrustRequest, pb.WatchTrustResponse]


class Log:
    """Puts entries into the log without asking a server."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def add(self, ids: Iterable[str]) -> int:
        """Entries for tokens; the head after them."""
        entries = [
            trust.NewEntry(
                TrustEntryKind.TOKEN, one, "", TrustEffect.REVOKE, RevocationReason.COMPROMISE
            )
            for one in ids
        ]
        async with self.database.transaction() as conn:
            return await trust.append(conn, entries, now=datetime.now(UTC))


@pytest.fixture(scope="module")
def world(seeded: World, embedded: Stores) -> Iterator[World]:
    """One for all tests here, whose log grows from one to the next; without Redis."""
    yield seeded.moved_to(embedded.postgres.create_database("watched", template=SEEDED), None)
    embedded.postgres.drop_database("watched")


@pytest.fixture(scope="module")
def server(world: World) -> Iterator[ServerProcess]:
    environment = world.environment(
        heartbeat=f"{HEARTBEAT}", staleness_limit=f"{STALENESS}", max_streams=f"{MAX_STREAMS}"
    )
    server = ServerProcess(environment)
    yield server
    server.kill()
    sys.stdout.writelines(server.output[-40:])


@pytest_asyncio.fixture(loop_scope="session")
async def log(world: World) -> AsyncIterator[Log]:
    database = await Database.open(world.dsn, size=2)
    yield Log(database)
    await database.close()


@pytest_asyncio.fixture(loop_scope="session")
async def gateway(world: World, server: ServerProcess) -> AsyncIterator[Api]:
    async with world.api(server.address, "demo-gateway") as api:
        yield api


@pytest_asyncio.fixture(loop_scope="session")
async def lazy_gateway(world: World, server: ServerProcess) -> AsyncIterator[Api]:
    """Takes no more than the 64 KiB of HTTP/2 before it is asked for something."""
    authorization = basic("demo-gateway", world.clients["demo-gateway"])
    async with Api(server.address, authorization, **{"http2.bdp_probe": 0}) as api:
        yield api


def watch(api: Api, **request: Any) -> Watch:
    """Open a stream."""
    opened: Watch = api.trust.WatchTrust(pb.WatchTrustRequest(**request), metadata=api.metadata)
    return opened


async def read(stream: Watch) -> pb.WatchTrustResponse:
    """The next message, soon."""
    async with patience():
        message = await stream.read()
    assert isinstance(message, pb.WatchTrustResponse)
    return message


async def begin(api: Api) -> tuple[Watch, pb.WatchTrustResponse]:
    """A stream behind its snapshot, and the snapshot's last message."""
    stream = watch(api)
    return stream, (await read_until(stream, 0))[-1]


async def read_until(stream: Watch, revision: int) -> list[pb.WatchTrustResponse]:
    """All messages up to the one with which the view has this revision."""
    messages = [await read(stream)]
    while messages[-1].revision < revision or (
        messages[-1].HasField("snapshot") and not messages[-1].snapshot.last
    ):
        messages.append(await read(stream))
    return messages


async def ended(stream: Watch) -> tuple[StatusCode, str]:
    """With what the stream ends, whatever comes before."""
    try:
        async with patience():
            while await stream.read() is not grpc.aio.EOF:
                pass
    except grpc.aio.AioRpcError as error:
        return error.code(), reason_of(error)
    return StatusCode.OK, ""


async def outcome(stream: Watch) -> pb.WatchTrustResponse | str:
    """The next message, or the reason why there is none."""
    try:
        return await read(stream)
    except grpc.aio.AioRpcError as error:
        return reason_of(error)


async def test_heartbeats_come_in_time_and_tell_of_a_log_that_is_read(gateway: Api) -> None:
    stream, _ = await begin(gateway)
    loop = asyncio.get_running_loop()
    started, times = loop.time(), set()
    for _ in range(8):
        message = await read(stream)
        assert message.HasField("heartbeat")
        age = message.server_time.ToNanoseconds() - message.read_time.ToNanoseconds()
        assert age >= 0
        times.add(message.read_time.ToNanoseconds())
    assert loop.time() - started < 8 * HEARTBEAT + STALENESS
    assert len(times) >= 2


async def test_a_watcher_goes_on_where_it_was_on_another_connection(
    world: World, server: ServerProcess, log: Log
) -> None:
    async with world.api(server.address, "demo-gateway") as api:
        _, first = await begin(api)
    head = await log.add(["a", "b"])
    async with world.api(server.address, "demo-gateway") as api:
        stream = watch(api, epoch=first.epoch, from_revision=first.revision)
        messages = await read_until(stream, head)
    assert all(message.HasField("delta") for message in messages)
    entries = [entry.id for message in messages for entry in message.delta.entries]
    assert entries == ["a", "b"]


async def test_a_slow_consumer_is_disconnected_and_the_others_hear_in_time(
    gateway: Api, lazy_gateway: Api, log: Log
) -> None:
    lazy, known = await begin(lazy_gateway)
    others = [(await begin(gateway))[0] for _ in range(3)]
    head = 0
    for _ in range(3):
        head = await log.add(str(uuid4()) for _ in range(BULK))
        for other in others:
            await read_until(other, head)
    await asyncio.sleep(STALENESS + 0.5)
    assert await ended(lazy) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    again = watch(lazy_gateway, epoch=known.epoch, from_revision=known.revision)
    await read_until(again, head)
    last = await log.add(["z"])
    for stream in (again, *others):
        assert (await read_until(stream, last))[-1].revision == last


async def test_what_a_busy_reader_missed_is_merged(
    gateway: Api, lazy_gateway: Api, log: Log
) -> None:
    lazy, known = await begin(lazy_gateway)
    quick, _ = await begin(gateway)
    await log.add(str(uuid4()) for _ in range(BULK))
    head = 0
    for _ in range(5):
        head = await log.add([str(uuid4())])
        await read_until(quick, head)
    deltas = [one for one in await read_until(lazy, head) if one.HasField("delta")]
    assert len(deltas) <= 3  # that of the bulk, the missed ones, and one to complete the snapshot
    revisions = [entry.revision for delta in deltas for entry in delta.delta.entries]
    assert revisions == list(range(known.revision + 1, head + 1))


async def test_a_disabled_clients_watch_ends(
    world: World, server: ServerProcess, gateway: Api
) -> None:
    stream, _ = await begin(gateway)
    async with world.api(server.address, "demo-admin") as admin:
        await admin.clients.DisableClient(
            clients_pb.DisableClientRequest(client_id="demo-gateway"), metadata=admin.metadata
        )
        assert await ended(stream) == (StatusCode.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED")
        await admin.clients.EnableClient(
            clients_pb.EnableClientRequest(client_id="demo-gateway"), metadata=admin.metadata
        )
    await begin(gateway)


async def test_watchers_are_bounded_and_make_room_when_they_go(gateway: Api) -> None:
    async def open_all() -> list[Watch]:
        """As many as there is room for."""
        streams = []
        while isinstance(await outcome(stream := watch(gateway)), pb.WatchTrustResponse):
            streams.append(stream)
        return streams

    async with patience():
        streams: list[Watch] = []
        while len(streams) < OWN_STREAMS:  # those of the tests before may be about to end
            streams += await open_all()
    assert len(streams) == OWN_STREAMS
    assert await ended(watch(gateway)) == (StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    streams.pop().cancel()
    async with patience():
        while not await open_all():
            pass
    for stream in streams:
        await read(stream)
