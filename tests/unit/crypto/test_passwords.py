"""Password hashes, and the bounded queue in front of the process that makes them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio
from argon2 import PasswordHasher as Argon2
from argon2 import extract_parameters

from tests.support.processes import is_alive
from tests.support.waiting import PATIENCE, until
from token_service.adapters.crypto.argon2id import Argon2Cost, Argon2id
from token_service.adapters.crypto.passwords import Argon2Passwords
from token_service.domain.errors import Reason, TokenServiceError

COST = Argon2Cost()
PASSWORD = "correct horse battery staple"


@pytest_asyncio.fixture
async def passwords() -> AsyncIterator[Argon2Passwords]:
    hasher = Argon2Passwords(COST, threads=1, queue=4)
    yield hasher
    await hasher.close()


Open = Callable[..., Awaitable["Gated"]]


class Gated:
    """Passwords whose process is frozen, until `open`."""

    def __init__(self, passwords: Argon2Passwords) -> None:
        self.passwords = passwords
        assert passwords.pid is not None
        self._pid = passwords.pid
        os.kill(self._pid, signal.SIGSTOP)

    def open(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGCONT)

    def begin(self) -> asyncio.Task[str]:
        """A hash that is under way."""
        return asyncio.create_task(self.passwords.hash(PASSWORD))


@pytest_asyncio.fixture
async def gated() -> AsyncIterator[Open]:
    made: list[Gated] = []

    async def make(*, threads: int = 1, queue: int = 1) -> Gated:
        passwords = Argon2Passwords(COST, threads=threads, queue=queue)
        await passwords.start()
        made.append(Gated(passwords))
        return made[-1]

    yield make
    for one in made:
        one.open()
        await one.passwords.close()


async def begun(*tasks: asyncio.Task[str]) -> None:
    for _ in range(10):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)


async def test_a_password_matches_its_own_hash_only(passwords: Argon2Passwords) -> None:
    hashed = await passwords.hash(PASSWORD)
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PASSWORD not in hashed
    assert await passwords.verify(PASSWORD, hashed)
    assert not await passwords.verify(PASSWORD + " ", hashed)
    assert not await passwords.verify("", hashed)
    assert await passwords.hash(PASSWORD) != hashed


async def test_no_byte_is_cut_off(passwords: Argon2Passwords) -> None:
    long = "é" * 512
    hashed = await passwords.hash(long)
    assert await passwords.verify(long, hashed)
    assert not await passwords.verify(long[:-1] + "e", hashed)


@pytest.mark.parametrize(
    "hashed",
    [
        None,
        "",
        "$argon2id$garbage",
        "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$",
        "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$aGFzaGhhc2hoYXNoaGFzaA",
        "plain",
    ],
)
async def test_nothing_matches_what_is_no_hash(
    passwords: Argon2Passwords, hashed: str | None
) -> None:
    assert not await passwords.verify("plain", hashed)


def test_an_unknown_user_costs_a_check() -> None:
    """The same parameters, and the processor's time: the clock's would be the machine's load."""
    argon2 = Argon2id(COST)
    hashed = argon2.hash(PASSWORD)
    assert extract_parameters(argon2.nobody) == extract_parameters(hashed)

    def least(against: str | None) -> float:
        times = []
        for _ in range(5):
            started = time.thread_time()
            assert not argon2.verify("wrong", against)
            times.append(time.thread_time() - started)
        return min(times)

    assert 0.5 < least(None) / least(hashed) < 2


async def test_hashes_of_other_parameters_match_and_are_outdated(
    passwords: Argon2Passwords,
) -> None:
    older = Argon2(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    assert await passwords.verify(PASSWORD, older)
    assert passwords.outdated(older)
    assert not passwords.outdated(await passwords.hash(PASSWORD))
    assert passwords.outdated("not a hash")


@pytest.mark.parametrize("cost", [{"memory_kib": 19 * 1024 - 1}, {"passes": 1}, {"lanes": 0}])
def test_weaker_parameters_are_refused(cost: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="argon2: at least"):
        Argon2Cost(**cost)


@pytest.mark.parametrize(("threads", "queue"), [(0, 1), (1, -1)])
def test_a_pool_without_room_is_refused(threads: int, queue: int) -> None:
    with pytest.raises(ValueError, match="thread"):
        Argon2Passwords(COST, threads=threads, queue=queue)


async def test_beyond_the_queue_it_is_refused_at_once(gated: Open) -> None:
    gate = await gated(queue=1)
    running = gate.begin()
    await begun(running)
    waiting = asyncio.create_task(gate.passwords.verify(PASSWORD, None))
    await asyncio.sleep(0)
    with pytest.raises(TokenServiceError) as caught:
        await gate.passwords.hash(PASSWORD)
    assert caught.value.reason is Reason.OVERLOADED
    assert caught.value.retry_after is not None
    gate.open()
    assert await waiting is False
    assert (await running).startswith("$argon2id$")
    assert await gate.passwords.verify(PASSWORD, None) is False


async def test_a_cancelled_call_holds_its_place_until_its_work_is_done(gated: Open) -> None:
    """Or calls begun and cancelled in a row would fill an endless queue."""
    gate = await gated(queue=0)
    running = gate.begin()
    await begun(running)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(TokenServiceError):
        await gate.passwords.verify(PASSWORD, None)
    gate.passwords._queue = 1
    after = asyncio.create_task(gate.passwords.verify(PASSWORD, None))
    await asyncio.sleep(0)
    assert not after.done()
    gate.open()
    assert await after is False


async def test_a_cancelled_wait_gives_its_place_back(gated: Open) -> None:
    gate = await gated(queue=1)
    running = gate.begin()
    await begun(running)
    for _ in range(3):
        waiting = asyncio.create_task(gate.passwords.verify(PASSWORD, None))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    gate.open()
    await running
    assert await gate.passwords.verify(PASSWORD, None) is False


async def test_as_many_are_worked_on_as_there_are_threads(gated: Open) -> None:
    gate = await gated(threads=2, queue=0)
    tasks = gate.begin(), gate.begin()
    await begun(*tasks)
    with pytest.raises(TokenServiceError):
        await gate.passwords.hash(PASSWORD)
    gate.open()
    assert len(set(await asyncio.gather(*tasks))) == 2


@pytest.mark.parametrize("niceness", [0, 15])
async def test_hashing_lets_everything_else_go_first(niceness: int) -> None:
    """And is never raised above the server, which would be refused."""
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", NICE_ALREADY, str(niceness)],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    assert [int(one) for one in ran.stdout.split()] == [niceness, max(10, niceness)]


NICE_ALREADY = """
import asyncio, os, sys
from token_service.adapters.crypto.passwords import Argon2Cost, Argon2Passwords

async def main():
    os.nice(int(sys.argv[1]) - os.nice(0))
    passwords = Argon2Passwords(Argon2Cost(), threads=1, queue=0)
    await passwords.hash("x")
    print(*(os.getpriority(os.PRIO_PROCESS, pid) for pid in (0, passwords.pid)))
    await passwords.close()

asyncio.run(main())
"""


async def test_a_killed_process_is_replaced(gated: Open) -> None:
    gate = await gated(queue=0)
    running = gate.begin()
    await begun(running)
    former = gate.passwords.pid
    assert former is not None
    os.kill(former, signal.SIGKILL)
    with pytest.raises(TokenServiceError) as caught:
        await running
    assert caught.value.reason is Reason.OVERLOADED
    assert (await gate.passwords.hash(PASSWORD)).startswith("$argon2id$")
    assert gate.passwords.pid != former


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_signals_for_everybody_leave_it_to_the_server(
    passwords: Argon2Passwords, number: signal.Signals
) -> None:
    await passwords.hash(PASSWORD)
    former = passwords.pid
    assert former is not None
    os.kill(former, number)
    await passwords.hash(PASSWORD)
    assert passwords.pid == former


async def test_it_ends_with_its_server(passwords: Argon2Passwords) -> None:
    await passwords.hash(PASSWORD)
    pid = passwords.pid
    assert pid is not None
    await passwords.close()
    assert not is_alive(pid)


async def test_it_ends_when_its_server_is_killed() -> None:
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    pid = int(await server.stdout.readline())
    server.kill()
    await server.wait()

    async def gone() -> bool:
        return not is_alive(pid)

    await until(gone)


KILLED = """
import asyncio
from token_service.adapters.crypto.passwords import Argon2Cost, Argon2Passwords

async def main():
    passwords = Argon2Passwords(Argon2Cost(), threads=1, queue=0)
    await passwords.hash("x")
    print(passwords.pid, flush=True)
    await asyncio.sleep(3600)

asyncio.run(main())
"""


async def test_no_password_is_in_its_arguments(passwords: Argon2Passwords) -> None:
    await passwords.hash(PASSWORD)
    for name in ("cmdline", "environ"):
        assert PASSWORD.encode() not in Path(f"/proc/{passwords.pid}/{name}").read_bytes()


async def test_a_hash_that_fails_is_told() -> None:
    """There is no memory for it."""
    passwords = Argon2Passwords(Argon2Cost(memory_kib=2**31), threads=1, queue=0)
    await passwords.start()
    pid = passwords.pid
    for _ in range(2):
        with pytest.raises(TokenServiceError) as caught:
            await passwords.hash(PASSWORD)
        assert caught.value.reason is Reason.OVERLOADED
    assert passwords.pid == pid
    await passwords.close()
