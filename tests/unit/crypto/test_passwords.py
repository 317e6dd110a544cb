import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from argon2 import PasswordHasher as Argon2
from argon2 import extract_parameters

from tests.support.waiting import PATIENCE
from token_service.adapters.crypto.passwords import Argon2Cost, Argon2Passwords
from token_service.domain.errors import Reason, TokenServiceError

COST = Argon2Cost()
PASSWORD = "correct horse battery staple"


@pytest_asyncio.fixture
async def passwords() -> AsyncIterator[Argon2Passwords]:
    hasher = Argon2Passwords(COST, threads=1, queue=4)
    yield hasher
    hasher.close()


class Gate:
    """Randomness that holds up a hash after the first (that of nobody's password)."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()

    def bytes(self, count: int) -> bytes:
        self.entered.set()
        assert self.open.wait(timeout=PATIENCE)
        return b"s" * count


@pytest_asyncio.fixture
async def gate() -> AsyncIterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


def gated(gate: Gate, *, threads: int = 1, queue: int = 1) -> Argon2Passwords:
    """Ready to be used with `gate` shut."""
    hasher = Argon2Passwords(COST, threads=threads, queue=queue, random_bytes=gate.bytes)
    gate.open.clear()
    gate.entered.clear()
    return hasher


async def begun(gate: Gate, task: asyncio.Task[str]) -> None:
    assert await asyncio.get_running_loop().run_in_executor(None, gate.entered.wait, 30)
    assert not task.done()


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


async def test_an_unknown_user_costs_a_check(passwords: Argon2Passwords) -> None:
    """The same parameters, and the processor's time: the clock's would be the machine's load."""
    hashed = await passwords.hash(PASSWORD)
    assert extract_parameters(passwords._nobody) == extract_parameters(hashed)

    def least(against: str | None) -> float:
        times = []
        for _ in range(5):
            started = time.thread_time()
            assert not passwords._verify("wrong", against)
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


async def test_beyond_the_queue_it_is_refused_at_once(gate: Gate) -> None:
    passwords = gated(gate, queue=1)
    running = asyncio.create_task(passwords.hash(PASSWORD))
    await begun(gate, running)
    waiting = asyncio.create_task(passwords.verify(PASSWORD, None))
    await asyncio.sleep(0)
    with pytest.raises(TokenServiceError) as caught:
        await passwords.hash(PASSWORD)
    assert caught.value.reason is Reason.OVERLOADED
    assert caught.value.retry_after is not None
    gate.open.set()
    assert await waiting is False
    assert (await running).startswith("$argon2id$")
    assert await passwords.verify(PASSWORD, None) is False
    passwords.close()


async def test_a_cancelled_call_holds_its_place_until_its_thread_is_free(gate: Gate) -> None:
    """Or calls begun and cancelled in a row would fill the pool's own endless queue."""
    passwords = gated(gate, queue=0)
    running = asyncio.create_task(passwords.hash(PASSWORD))
    await begun(gate, running)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(TokenServiceError):
        await passwords.verify(PASSWORD, None)
    passwords._queue = 1
    after = asyncio.create_task(passwords.verify(PASSWORD, None))
    await asyncio.sleep(0)
    assert not after.done()
    gate.open.set()
    assert await after is False
    passwords.close()


async def test_a_cancelled_wait_gives_its_place_back(gate: Gate) -> None:
    passwords = gated(gate, queue=1)
    running = asyncio.create_task(passwords.hash(PASSWORD))
    await begun(gate, running)
    for _ in range(3):
        waiting = asyncio.create_task(passwords.verify(PASSWORD, None))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    gate.open.set()
    await running
    assert await passwords.verify(PASSWORD, None) is False
    passwords.close()


async def test_threads_work_side_by_side(gate: Gate) -> None:
    passwords = gated(gate, threads=2, queue=0)
    one = asyncio.create_task(passwords.hash(PASSWORD))
    await begun(gate, one)
    assert await passwords.verify(PASSWORD, None) is False
    gate.open.set()
    await one
    passwords.close()


async def test_the_loop_is_free_meanwhile(gate: Gate) -> None:
    passwords = gated(gate)
    running = asyncio.create_task(passwords.hash(PASSWORD))
    await begun(gate, running)
    turns = 0
    while turns < 100:
        await asyncio.sleep(0)
        turns += 1
    assert not running.done()
    gate.open.set()
    await running
    passwords.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere priorities are the process's")
async def test_hashing_lets_everything_else_go_first() -> None:
    def own() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    seen: list[tuple[int, int]] = []

    def random_bytes(count: int) -> bytes:
        seen.append((threading.get_native_id(), own()))
        return b"s" * count

    before = own()
    passwords = Argon2Passwords(COST, threads=1, queue=0, random_bytes=random_bytes)
    await passwords.hash(PASSWORD)
    passwords.close()
    thread, niceness = seen[-1]
    assert thread != threading.get_native_id()
    assert niceness == 10
    assert own() == before
    assert await asyncio.to_thread(own) == before


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere priorities are the process's")
def test_hashing_is_never_raised_above_the_process() -> None:
    """Which would be refused, or take the processor from everybody else."""
    ran = subprocess.run(
        [sys.executable, "-c", NICE_ALREADY], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.split() == ["15"] * 3


NICE_ALREADY = """
import asyncio, os, threading
from token_service.adapters.crypto.passwords import Argon2Cost, Argon2Passwords

def random_bytes(count):
    print(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    return bytes(count)

async def main():
    os.nice(15 - os.nice(0))
    await Argon2Passwords(Argon2Cost(), threads=1, queue=0, random_bytes=random_bytes).hash("x")

asyncio.run(main())
"""


async def test_what_goes_wrong_in_a_thread_reaches_the_caller() -> None:
    draws = [b"s" * 16, b"n" * 32]
    passwords = Argon2Passwords(COST, threads=1, queue=0, random_bytes=lambda _: draws.pop())
    with pytest.raises(IndexError):
        await passwords.hash(PASSWORD)
    assert await passwords.verify(PASSWORD, None) is False
    passwords.close()
