"""An event loop for threads."""

import asyncio
import os
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor
from datetime import timedelta

import pytest

from tests.support.waiting import PATIENCE
from tokenservice import BackgroundLoop


@pytest.fixture
def loop() -> BackgroundLoop:
    return BackgroundLoop()


async def answer(number: int) -> int:
    await asyncio.sleep(0)
    return number


def test_many_threads_use_it_at_once(loop: BackgroundLoop) -> None:
    before = set(threading.enumerate())
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda n: loop.run(answer(n)), range(200))) == list(range(200))
    assert len(set(threading.enumerate()) - before) == 1
    loop.close()
    assert set(threading.enumerate()) <= before


def test_errors_reach_the_caller(loop: BackgroundLoop) -> None:
    async def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        loop.run(fail())
    loop.close()


def test_whoever_stops_waiting_cancels(loop: BackgroundLoop) -> None:
    ended = threading.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        loop.run(endless(), timeout=timedelta(seconds=0.02))
    assert ended.wait(PATIENCE)
    loop.close()


def test_closing_cancels_what_runs_and_waits_for_it(loop: BackgroundLoop) -> None:
    started, cleaned = threading.Event(), threading.Event()

    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            cleaned.set()

    future = loop.submit(endless())
    assert started.wait(PATIENCE)
    loop.close()
    assert cleaned.is_set()
    with pytest.raises(CancelledError):
        future.result(10)


def test_once_closed_it_stays_closed(loop: BackgroundLoop) -> None:
    loop.close()
    loop.close()
    with pytest.raises(RuntimeError, match="closed"):
        loop.run(answer(1))
    assert not loop.usable


def test_its_own_thread_is_not_left_waiting_for_itself(loop: BackgroundLoop) -> None:
    async def inner() -> None:
        loop.run(answer(1))

    with pytest.raises(RuntimeError, match="own thread"):
        loop.run(inner())
    loop.close()


def test_nothing_is_started_before_the_first_use(loop: BackgroundLoop) -> None:
    assert not loop.usable
    loop.close()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # what the test is about
def test_a_forked_child_hears_what_is_wrong(loop: BackgroundLoop) -> None:
    loop.run(answer(1))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            loop.run(answer(2))
        except RuntimeError as error:
            code = 0 if "fork" in str(error) and not loop.usable else 2
        loop.close()
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert loop.run(answer(3)) == 3
    loop.close()


def test_a_loop_that_nobody_holds_ends_its_thread() -> None:
    before = set(threading.enumerate())
    loop = BackgroundLoop()
    loop.run(answer(1))
    del loop
    assert set(threading.enumerate()) <= before
