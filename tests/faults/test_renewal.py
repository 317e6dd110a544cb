"""A server of one process and the signals that ask it for something: none of them kills it."""

import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.steady import Steady
from tests.faults.supervised import allow_connections, probed
from tests.support.outcomes import outcome
from tests.support.ports import fixed_port
from tests.support.processes import children_of, is_alive, workers_of
from tests.support.servers import ServerProcess
from tests.support.waiting import until
from tests.support.world import World

OTHERS = (signal.SIGUSR1, signal.SIGUSR2)


class Alone:
    """The server and its log."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.address = server.address
        self.pid = server.process.pid

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in tuple(self.server.output) if line.startswith("{"))
        return [line for line in lines if line["event"] == name]

    async def event(self, name: str, number: int = 1) -> dict[str, Any]:
        async def there() -> bool:
            assert self.server.process.poll() is None, "it ended"
            return len(self.events(name)) >= number

        await until(there)
        return self.events(name)[number - 1]

    def send(self, number: signal.Signals) -> None:
        self.server.process.send_signal(number)


Start = Callable[..., Alone]


@pytest.fixture
def start(shared_world: World) -> Iterator[Start]:
    started: list[ServerProcess] = []

    def start_one(
        meanwhile: Callable[[subprocess.Popen[str]], None] = lambda _: None, **settings: str
    ) -> Alone:
        environment = shared_world.environment(**settings)
        started.append(ServerProcess(environment, meanwhile=meanwhile))
        return Alone(started[-1])

    yield start_one
    for server in started:
        server.kill()
        sys.stdout.writelines(server.output[-40:])


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "unix:{}/socket"])
async def test_sighup_renews_the_process_under_load(
    shared_world: World, start: Start, tmp_path: Path, listen: str
) -> None:
    """What it reads is read again, and nobody who retries UNAVAILABLE notices."""
    secrets = tmp_path / "secrets"
    secrets.write_text(shared_world.secret_keys)
    metrics = f"127.0.0.1:{fixed_port()}"
    service = start(
        grpc_listen=listen.format(tmp_path),
        secret_keys="",
        secret_keys_file=str(secrets),
        metrics_listen=metrics,
    )
    async with Steady.calling(shared_world, service.address, callers=3) as load:
        await load.more()
        for number in (signal.SIGHUP, *OTHERS):
            service.send(number)
        await service.event("renewed")
        assert [one["address"] for one in service.events("serving")] == [service.address] * 2
        await load.more()
        assert await asyncio.to_thread(probed, metrics, "/readyz") == (200, "ok\n")
        secrets.write_text("nonsense")
        service.send(signal.SIGHUP)
        refused = await service.event("renewing_given_up")
        assert refused["reason"].startswith("TOKEN_SERVICE_SECRET_KEYS: ")
        await load.more()
    assert load.failures == []
    assert [line for line in service.server.output if not line.startswith("{")] == []
    assert workers_of(service.pid) == []
    assert await asyncio.to_thread(service.server.terminate) == 0


async def test_a_database_that_goes_away_in_the_middle_only_delays(world: World) -> None:
    service = Alone(ServerProcess(world.environment()))
    try:
        service.send(signal.SIGHUP)
        await service.event("stopping")  # the other one serves
        await allow_connections(world, allowed=False)
        told = await service.event("not_renewed_yet")
        assert told["reason"].startswith("TOKEN_SERVICE_POSTGRES_DSN: ")
        async with world.api(service.address, "demo-api") as api:
            assert await outcome(api.exchange("none")) == "TOKEN_MALFORMED"
        await allow_connections(world, allowed=True)
        await service.event("renewed")
        async with world.api(service.address, "demo-api") as api:
            assert await outcome(api.exchange("none")) == "TOKEN_MALFORMED"
        assert await asyncio.to_thread(service.server.terminate) == 0
    finally:
        service.server.kill()


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_sighup_during_a_start_or_a_renewal_is_remembered(start: Start, workers: str) -> None:
    """What was read by then may be what has changed."""
    service = start(hang_up, workers=workers)
    await service.event("renewing")
    while len(service.events("renewed")) < 1:
        for number in (signal.SIGHUP, *OTHERS):
            service.send(number)
        await asyncio.sleep(0.05)
        assert service.server.process.poll() is None, "it ended"
    await service.event("renewed", 2)
    assert await asyncio.to_thread(service.server.terminate) == 0


def hang_up(process: subprocess.Popen[str]) -> None:
    """Send SIGHUP as soon as the process is prepared for it."""
    while process.poll() is None:
        if catches(process.pid, signal.SIGHUP, blocked=True):
            process.send_signal(signal.SIGHUP)
            return
        time.sleep(0.001)
    raise AssertionError("it ended")


def catches(pid: int, number: signal.Signals, *, blocked: bool = False) -> bool:
    """Whether the process has a handler for the signal now (or, too, lets it wait)."""
    status = Path(f"/proc/{pid}/status").read_text()
    masks = dict(re.findall(r"^(Sig\w+):\s(\w+)$", status, re.MULTILINE))
    mask = int(masks["SigCgt"], 16) | (int(masks["SigBlk"], 16) if blocked else 0)
    return bool(mask >> (number - 1) & 1)


async def test_a_stop_during_a_renewal_leaves_nobody(start: Start) -> None:
    service = start()
    service.send(signal.SIGHUP)

    async def begun() -> bool:
        return bool(workers_of(service.pid))

    await until(begun)
    family = children_of(service.pid)
    assert await asyncio.to_thread(service.server.terminate) == 0
    assert not any(map(is_alive, family))
    assert service.events("renewing_given_up") == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_while_the_program_begins_anew_is_heeded(
    start: Start, number: signal.Signals
) -> None:
    service = start()
    service.send(signal.SIGHUP)
    await service.event("stopping")
    family = children_of(service.pid)

    async def executed() -> bool:
        assert service.server.process.poll() is None, "it ended"
        return not catches(service.pid, signal.SIGTERM)

    await until(executed)
    service.send(number)
    assert await asyncio.to_thread(service.server.process.wait, 30) == 0
    assert not any(map(is_alive, family))
    service.server.kill()  # it has ended; all that it printed has been read then
    assert len(service.events("stopped")) == 1


async def test_a_stop_is_neither_hurried_nor_undone(start: Start) -> None:
    service = start(drain_delay="1s")
    stopping = (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, *OTHERS)
    began = time.monotonic()
    for number in stopping:
        service.send(number)
        await asyncio.sleep(0.05)
    assert await asyncio.to_thread(service.server.process.wait, 30) == 0
    assert time.monotonic() - began >= 1.0
    service.server.kill()  # it has ended; all that it printed has been read then
    assert len(service.events("stopped")) == 1
