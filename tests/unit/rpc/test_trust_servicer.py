"""What watchers of the feed are told, message by message."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from tests.unit.trust_log import HandClock, Log
from token_service.domain.clients.caller import Caller
from token_service.rpc.mapping import trust as mapping
from token_service.rpc.servicers import trust as servicer
from token_service.rpc.servicers.trust import TrustServicer
from tokenservice.v1 import trust_service_pb2 as pb

EPOCH = "0b18f04e-d26b-4ea0-8c27-4b96b0ae216d"


class Directory:
    """Nothing changes in it."""

    version = 0


@dataclass
class Watched:
    """A log, and a servicer of its feed."""

    log: Log = field(default_factory=lambda: Log(HandClock()))

    def __post_init__(self) -> None:
        self.log.reading = replace(self.log.reading, epoch=EPOCH)
        self.servicer = TrustServicer(
            self.log.feed,
            cast("Any", None),
            self.log.clock,
            cast("Any", Directory()),
            heartbeat=1_000_000.0,
        )

    async def revoke(self, *session_ids: str) -> None:
        """And read the log."""
        for one in session_ids:
            self.log.revoke(one)
        await self.log.refresh()

    @asynccontextmanager
    async def watch(self, epoch: str = "", revision: int = 0) -> AsyncIterator["Watch"]:
        request = pb.WatchTrustRequest(epoch=epoch, from_revision=revision)
        messages = self.servicer.watch_trust(Caller("gateway"), request)
        yield Watch(messages)
        await messages.aclose()


@dataclass
class Watch:
    """A stream that is read."""

    messages: AsyncGenerator[bytes, None]

    async def next(self) -> pb.WatchTrustResponse:
        return pb.WatchTrustResponse.FromString(await anext(self.messages))


def told(message: pb.WatchTrustResponse) -> list[str]:
    """Whose entries a delta has."""
    assert message.HasField("delta")
    return [entry.id for entry in message.delta.entries]


@pytest.fixture
async def watched() -> Watched:
    watched = Watched()
    await watched.log.refresh()
    return watched


async def test_a_snapshot_comes_first_then_what_happens(watched: Watched) -> None:
    await watched.revoke("s1")
    async with watched.watch() as watch:
        first = await watch.next()
        assert (first.epoch, first.revision) == (EPOCH, 1)
        assert first.snapshot.last
        assert [entry.id for entry in first.snapshot.entries] == ["s1"]
        assert [key.kid for key in first.snapshot.keys] == ["k1"]
        await watched.revoke("s2")
        second = await watch.next()
        assert (second.revision, second.delta.from_revision, told(second)) == (2, 1, ["s2"])
        assert not second.delta.keys_changed


async def test_what_happens_while_a_watcher_is_busy_comes_in_one_delta(watched: Watched) -> None:
    async with watched.watch() as quick, watched.watch() as slow:
        for watch in (quick, slow):
            await watch.next()
        for one in ("s1", "s2", "s3"):
            await watched.revoke(one)
            assert told(await quick.next()) == [one]
        merged = await slow.next()
        assert (merged.delta.from_revision, merged.revision) == (0, 3)
        assert told(merged) == ["s1", "s2", "s3"]


async def test_who_knows_the_log_goes_on_from_there(watched: Watched) -> None:
    await watched.revoke("s1", "s2")
    async with watched.watch(EPOCH, 1) as watch:
        first = await watch.next()
        assert (first.delta.from_revision, told(first)) == (1, ["s2"])
        assert first.delta.keys_changed  # keys have no number by which they could be continued


@pytest.mark.parametrize(
    ("epoch", "revision"), [("a36159da-2afe-40f7-a03f-f9fdb7a654c6", 1), (EPOCH, 3), (EPOCH, 2**63)]
)
async def test_who_knows_another_log_or_more_than_there_is_starts_over(
    watched: Watched, epoch: str, revision: int
) -> None:
    await watched.revoke("s1", "s2")
    async with watched.watch(epoch, revision) as watch:
        assert (await watch.next()).HasField("snapshot")


async def test_who_lacks_too_much_starts_over(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servicer, "MAX_DELTA", 2)
    await watched.revoke("s1", "s2", "s3")
    async with watched.watch(EPOCH, 0) as far, watched.watch(EPOCH, 1) as near:
        assert (await far.next()).HasField("snapshot")
        assert told(await near.next()) == ["s2", "s3"]


async def test_a_snapshot_is_all_of_one_revision_whatever_happens_meanwhile(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "CHUNK", 2)
    await watched.revoke("s1", "s2", "s3")
    async with watched.watch() as watch:
        one = await watch.next()
        await watched.revoke("s4")
        two = await watch.next()
        assert [one.revision, two.revision] == [3, 3]
        assert [one.snapshot.last, two.snapshot.last] == [False, True]
        assert len(one.snapshot.entries) + len(two.snapshot.entries) == 3
        assert told(await watch.next()) == ["s4"]


async def test_a_snapshot_made_before_is_as_old_as_it_is(watched: Watched) -> None:
    clock = watched.log.clock
    made_at = clock.seconds
    async with watched.watch() as watch:
        await watch.next()
    clock.seconds += 3
    await watched.log.refresh()
    async with watched.watch() as watch:  # nothing has happened: the same, and just read
        assert (await watch.next()).read_time.seconds == made_at + 3
    await watched.revoke("s1")
    async with watched.watch() as watch:
        first, second = await watch.next(), await watch.next()
        assert (first.revision, first.read_time.seconds) == (0, made_at)
        assert (told(second), second.read_time.seconds) == (["s1"], made_at + 3)
        assert first.server_time.seconds == second.server_time.seconds == made_at + 3


async def test_one_snapshot_is_always_the_newest(watched: Watched) -> None:
    for revision in (0, 1):
        messages = watched.servicer.get_trust(Caller("gateway"), pb.GetTrustRequest())
        raw = [pb.GetTrustResponse.FromString(message) async for message in messages]
        assert [message.revision for message in raw] == [revision]
        await watched.revoke(f"s{revision}")


async def test_a_snapshot_is_not_used_for_ever(watched: Watched) -> None:
    await watched.revoke("s1")
    async with watched.watch() as watch:
        await watch.next()
    watched.log.clock.seconds += 400
    await watched.log.refresh()
    async with watched.watch() as watch:
        assert list((await watch.next()).snapshot.entries) == []


async def test_the_times_are_those_of_the_last_reading(watched: Watched) -> None:
    clock = watched.log.clock
    async with watched.watch() as one, watched.watch() as two:
        for watch in (one, two):
            await watch.next()
        await watched.revoke("s1")
        read_at = clock.seconds
        first = await one.next()
        clock.seconds += 1
        second = await two.next()
    assert (first.read_time.seconds, second.read_time.seconds) == (read_at, read_at)
    assert (first.server_time.seconds, second.server_time.seconds) == (read_at, read_at + 1)
