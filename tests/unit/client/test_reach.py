"""Waiting for a revision that the trust feed brings."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc

from tests.support.feed_messages import delta, key_message, message, snapshot
from tests.support.hands import HandClock
from tests.support.tokens import NOW
from tests.support.waiting import PATIENCE, patience
from tokenservice._decisions.local_validator import LocalValidator
from tokenservice._validator.follower import TrustFollower
from tokenservice.v1 import trust_service_pb2 as pb

LONG = 60 * PATIENCE


class Feed:
    """A stream whose messages the test sends."""

    def __init__(self) -> None:
        self.hand = HandClock(anchored=False)
        local = LocalValidator(clock=self.hand.clock, staleness_limit=5.0)
        self.follower = TrustFollower(local, self._watch)
        self._messages: asyncio.Queue[object] = asyncio.Queue()

    async def _watch(self, ask: Callable[[], pb.WatchTrustRequest]) -> "Feed":
        ask()
        return self

    async def read(self) -> object:
        return await self._messages.get()

    @property
    def outdated(self) -> bool:
        return False

    def cancel(self) -> bool:
        return True

    def send(self, sent: object) -> None:
        self._messages.put_nowait(sent)

    def waiters(self) -> int:
        return len(self.follower._waiting)


@asynccontextmanager
async def following() -> AsyncIterator[Feed]:
    feed = Feed()
    running = asyncio.create_task(feed.follower.run())
    feed.send(snapshot(message(7, NOW), [], [key_message()]))
    await feed.follower.ready.wait()
    try:
        yield feed
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def waiting(feed: Feed, revision: int) -> asyncio.Task[bool]:
    before = feed.waiters()
    task = asyncio.create_task(feed.follower.reach(revision, LONG))
    while feed.waiters() == before:
        await asyncio.sleep(0)
    return task


async def test_the_message_that_brings_it_ends_the_wait() -> None:
    async with following() as feed, patience():
        near, far = await waiting(feed, 8), await waiting(feed, 9)
        feed.send(delta(message(8, NOW), 7))
        assert await near
        assert not far.done()
        feed.send(delta(message(12, NOW), 8))
        assert await far
        assert feed.waiters() == 0


async def test_what_is_known_is_not_waited_for() -> None:
    async with following() as feed:
        assert await feed.follower.reach(7, within=0)


async def test_the_wait_has_an_end() -> None:
    async with following() as feed:
        assert not await feed.follower.reach(2**63, within=0.01)
        assert feed.waiters() == 0


async def test_whoever_goes_away_is_forgotten() -> None:
    async with following() as feed, patience():
        gone, stays = await waiting(feed, 8), await waiting(feed, 8)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert feed.waiters() == 1
        feed.send(delta(message(8, NOW), 7))
        assert await stays


async def test_the_end_of_a_stream_ends_no_wait() -> None:
    async with following() as feed, patience():
        task = await waiting(feed, 8)
        feed.send(grpc.aio.EOF)
        feed.send(snapshot(message(8, NOW), [], [key_message()]))
        assert await task
