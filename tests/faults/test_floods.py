"""A flood from somebody without credentials gets little of a server's memory and is cut off, and
clients are served meanwhile. Each attack is a small one of its kind, on a server in a process."""

import asyncio
import gzip
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import grpc
import pytest

from tests.support.api import Api
from tests.support.raw_http2 import (
    ACK,
    CONTINUATION,
    DATA,
    PING,
    PRIORITY,
    SETTINGS,
    WINDOW,
    RawConnection,
    call_headers,
    frame,
    message,
    raw_connection,
    spelt_out,
)
from tests.support.servers import ServerProcess
from tests.support.waiting import patience, until
from tests.support.world import World
from token_service.rpc.policy_table import LARGE_REQUEST
from tokenservice.v1 import token_service_pb2 as pb

VALIDATE = "/tokenservice.v1.TokenService/Validate"
CHECK = "/grpc.health.v1.Health/Check"
CONNECTIONS = 4
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def server(shared_world: World) -> Iterator[ServerProcess]:
    server = ServerProcess(shared_world.environment())
    yield server
    server.kill()
    sys.stdout.writelines(server.output[-40:])


@pytest.fixture
async def honest(server: ServerProcess, shared_world: World) -> AsyncIterator[Counter[str]]:
    """The statuses of a client that goes on calling until the test ends; and they are all OK."""
    statuses: Counter[str] = Counter()
    async with shared_world.api(server.address, "demo-gateway") as api:
        await validate(api)
        calling = [asyncio.create_task(keep_calling(api, statuses)) for _ in range(4)]
        await asyncio.sleep(0.05)
        yield statuses
        before = statuses["OK"]
        await until(lambda: statuses["OK"] >= before + 20)
        for task in calling:
            task.cancel()
        await asyncio.gather(*calling, return_exceptions=True)
    assert set(statuses) == {"OK"}


async def validate(api: Api) -> None:
    request = pb.ValidateRequest(token="x", audience="orders")
    await api.tokens.Validate(request, metadata=api.metadata, timeout=60)


async def keep_calling(api: Api, statuses: Counter[str]) -> None:
    while True:
        try:
            await validate(api)
            statuses["OK"] += 1
        except grpc.aio.AioRpcError as error:
            statuses[error.code().name] += 1
        await asyncio.sleep(0.005)


@asynccontextmanager
async def attackers(
    server: ServerProcess, method: str, *more: tuple[str, str], number: int = CONNECTIONS
) -> AsyncIterator[list[RawConnection]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                raw_connection(server.address, call_headers(method, more))
            )
            for _ in range(number)
        ]


class Memory:
    """The most memory that a process has had since this was made, over what it had then."""

    def __init__(self, server: ServerProcess) -> None:
        folder = Path(f"/proc/{server.process.pid}")
        (folder / "clear_refs").write_text("5")  # the peak is now
        self._status = folder / "status"
        self._before = self._read("VmRSS:")

    def growth(self) -> int:
        """In bytes."""
        return self._read("VmHWM:") - self._before

    def _read(self, name: str) -> int:
        return int(self._status.read_text().split(name)[1].split()[0]) * 1024


async def until_closed(connections: list[RawConnection]) -> None:
    async with patience():
        for connection in connections:
            await connection.closed.wait()


async def until_ended(connection: RawConnection, calls: int) -> None:
    await until(lambda: connection.ended >= calls)


async def test_small_messages_that_would_be_large_are_not_inflated(
    server: ServerProcess, honest: Counter[str]
) -> None:
    size = LARGE_REQUEST - 100
    bomb = message(gzip.compress(b"\0" * size), flag=b"\1")
    calls, memory = 200, Memory(server)
    async with attackers(server, CHECK, ("grpc-encoding", "gzip"), number=1) as (attacker,):
        for _ in range(calls):
            await attacker.send(attacker.call(bomb))
        await until_ended(attacker, calls)
    assert memory.growth() < calls * size / 10


@pytest.mark.parametrize("method", [VALIDATE, CHECK])
async def test_a_caller_without_credentials_gets_no_memory_for_a_message(
    server: ServerProcess, honest: Counter[str], method: str
) -> None:
    """All but the last byte of the largest message, many times over: the transport's windows hold
    some of each before the call is refused."""
    started = message(b"\0" * LARGE_REQUEST)[:-1]
    memory = Memory(server)
    async with attackers(server, method) as connections:
        with suppress(ConnectionError):
            for _ in range(25):
                for attacker in connections:
                    await attacker.send(attacker.unfinished(started))
        await until_closed(connections)
    assert memory.growth() < 100 * LARGE_REQUEST / 4


async def test_headers_alone_are_answered_and_not_kept(
    server: ServerProcess, honest: Counter[str]
) -> None:
    async with attackers(server, VALIDATE, number=10) as connections:
        for attacker in connections:
            await attacker.send(b"".join(attacker.call() for _ in range(200)))
        for attacker in connections:
            await until_ended(attacker, 200)


@pytest.mark.parametrize("method", [VALIDATE, CHECK])
async def test_who_opens_calls_and_resets_them_is_cut_off(
    server: ServerProcess, honest: Counter[str], method: str
) -> None:
    async with attackers(server, method) as connections:
        await flood(connections, lambda one: one.call(reset=True))


async def test_a_client_that_resets_its_calls_is_cut_off_as_well(
    server: ServerProcess, honest: Counter[str], shared_world: World
) -> None:
    async with shared_world.api(server.address, "demo-gateway") as api:
        credentials = api.metadata
    body = message(pb.ValidateRequest(token="x", audience="orders").SerializeToString())
    async with attackers(server, VALIDATE, *credentials) as connections:
        await flood(connections, lambda one: one.call(body, reset=True))


FLOODS: dict[str, Callable[[RawConnection], bytes]] = {
    "pings": lambda _: frame(PING, 0, 0, b"12345678"),
    "settings": lambda _: frame(SETTINGS, 0, 0, b"\0\3\0\0\0\x64"),
    "windows": lambda _: frame(WINDOW, 0, 0, b"\0\0\0\1"),
    "priorities": lambda _: frame(PRIORITY, 0, 1, b"\0\0\0\0\1"),
    "ping answers": lambda _: frame(PING, ACK, 0, b"12345678"),
    "empty data": lambda _: frame(DATA, 0, 1),
    "headers": lambda _: frame(CONTINUATION, 0, 1, spelt_out([(b"x", b"a" * 1_000)])),
    "empty headers": lambda _: frame(CONTINUATION, 0, 1),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_who_sends_frames_without_end_is_cut_off(
    server: ServerProcess, honest: Counter[str], kind: str
) -> None:
    memory = Memory(server)
    async with attackers(server, CHECK) as connections:
        for attacker in connections:
            _, opening = attacker.opening(flags=0 if "headers" in kind else 4)
            await attacker.send(opening)
        await flood(connections, FLOODS[kind])
    assert memory.growth() < 200 * MIB


async def flood(connections: list[RawConnection], frames: Callable[[RawConnection], bytes]) -> None:
    """Send on each connection until it is closed."""

    async def send(attacker: RawConnection) -> None:
        began = time.monotonic()
        with suppress(ConnectionError):
            while time.monotonic() < began + 60:
                await attacker.send(b"".join(frames(attacker) for _ in range(100)))
                await asyncio.sleep(0)

    await asyncio.gather(*(send(attacker) for attacker in connections))
    await until_closed(connections)
