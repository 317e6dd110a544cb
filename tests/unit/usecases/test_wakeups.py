"""Waking many at once, and each of them from time to time."""

import asyncio

from tests.support.waiting import patience
from token_service.usecases.wakeups import AT_ONCE, SLOTS, Wakeups

NEVER = 1_000_000.0


async def test_all_are_woken_whether_they_wait_or_not() -> None:
    wakeups = Wakeups(NEVER)
    sleepers = [wakeups.join() for _ in range(3 * AT_ONCE)]
    early = [asyncio.create_task(sleeper.wait()) for sleeper in sleepers[::2]]
    await asyncio.sleep(0)
    wakeups.wake()
    async with patience():
        await asyncio.gather(*early, *(sleeper.wait() for sleeper in sleepers[1::2]))
    assert not any(sleeper.due for sleeper in sleepers)


async def test_a_wake_ends_one_wait_only() -> None:
    wakeups = Wakeups(NEVER)
    sleeper = wakeups.join()
    wakeups.wake()
    wakeups.wake()
    await sleeper.wait()
    again = asyncio.create_task(sleeper.wait())
    await asyncio.sleep(0.01)
    assert not again.done()
    again.cancel()


async def wakes(wakeups: Wakeups, at_least: int) -> int:
    """How often a sleeper wakes when ten wakes follow one another."""
    counted = asyncio.Semaphore(0)
    sleeper = wakeups.join()

    async def count() -> None:
        while True:
            await sleeper.wait()
            counted.release()

    counting = asyncio.create_task(count())
    for _ in range(10):
        wakeups.wake()
        await asyncio.sleep(0)
    async with patience():
        for _ in range(at_least):
            await counted.acquire()
    await asyncio.sleep(0.05)
    counting.cancel()
    return at_least + counted._value


async def test_what_follows_within_the_gap_wakes_nobody_at_once() -> None:
    assert await wakes(Wakeups(NEVER, NEVER), 1) == 1


async def test_what_followed_within_the_gap_wakes_once_when_it_is_over() -> None:
    assert await wakes(Wakeups(NEVER, 0.5), 2) == 2


async def test_the_loop_looks_after_other_things_while_many_are_woken() -> None:
    wakeups = Wakeups(NEVER)
    waits = [asyncio.create_task(wakeups.join().wait()) for _ in range(10 * AT_ONCE)]
    await asyncio.sleep(0)
    wakeups.wake()
    woken = []
    while not all(wait.done() for wait in waits):
        await asyncio.sleep(0)
        woken.append(sum(wait.done() for wait in waits))
    assert max(b - a for a, b in zip([0, *woken], woken, strict=False)) <= 2 * AT_ONCE


async def test_one_that_left_is_not_woken() -> None:
    wakeups = Wakeups(NEVER)
    sleeper = wakeups.join()
    wakeups.leave(sleeper)
    wakeups.wake()
    waiting = asyncio.create_task(sleeper.wait())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    waiting.cancel()


async def test_each_is_due_once_in_an_interval_and_not_all_at_once() -> None:
    wakeups = Wakeups(NEVER)
    sleepers = [wakeups.join() for _ in range(2 * SLOTS)]
    for beat in range(1, SLOTS + 1):
        wakeups.beat()
        assert sum(sleeper.due for sleeper in sleepers) == 2 * beat
    await asyncio.gather(*(sleeper.wait() for sleeper in sleepers))


async def test_beats_come_by_themselves_while_anybody_sleeps() -> None:
    wakeups = Wakeups(0.02)
    for _ in range(2):  # everybody leaves, and another comes
        sleeper = wakeups.join()
        async with patience():
            for _ in range(3):
                sleeper.due = False
                await sleeper.wait()
                assert sleeper.due
        wakeups.leave(sleeper)
        await asyncio.sleep(0.01)
