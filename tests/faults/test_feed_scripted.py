"""Feeds that break off, lose, repeat and reorder, over a real connection."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.faults.scripted_feed import Ended, ScriptedFeed, for_ever
from tests.support.feed_messages import (
    EPOCH,
    OTHER_EPOCH,
    delta,
    entry_message,
    heartbeat,
    key_message,
    message,
    snapshot,
)
from tests.support.tokens import entry, facts
from tests.support.waiting import until
from tokenservice import ClientSecret, Connection, Validator
from tokenservice.core import TrustEntry, TrustEntryKind
from tokenservice.v1 import trust_service_pb2 as pb

Messages = AsyncIterator[pb.WatchTrustResponse]
LATER = time.time() + 3600


def head(revision: int, epoch: str = EPOCH) -> pb.WatchTrustResponse:
    return message(revision, time.time(), epoch=epoch)


def revoked(revision: int) -> TrustEntry:
    return entry(revision, TrustEntryKind.SESSION, f"s{revision}", keep_until=LATER)


def log(first: int, last: int) -> list[TrustEntry]:
    return [revoked(revision) for revision in range(first, last + 1)]


def whole(revision: int, epoch: str = EPOCH) -> pb.WatchTrustResponse:
    return snapshot(head(revision, epoch), log(1, revision), [key_message()])


def validator_at(connection: Connection) -> Validator:
    return Validator(connection, staleness_limit=timedelta(seconds=2.0), report_activity=False)


def connected(feed: ScriptedFeed) -> Connection:
    return Connection(feed.address, ClientSecret("gateway", "secret"), channels=1)


def knows(validator: Validator, revision: int) -> bool:
    trust = validator.local.trust
    return validator.fresh and all(
        trust.status(facts(session_id=f"s{one}")) is not None for one in range(1, revision + 1)
    )


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE, None]
)
async def test_a_stream_that_ends_is_continued(code: grpc.StatusCode | None) -> None:
    """Also for a slow reader, whom the server hangs up on."""

    async def script(request: pb.WatchTrustRequest) -> Messages:
        if not request.epoch:
            yield whole(3)
            if code is not None:
                raise Ended(code)
            return
        yield delta(head(5), 3, log(4, 5), [key_message()])
        await for_ever()

    async with (
        ScriptedFeed(script) as feed,
        connected(feed) as connection,
        validator_at(connection) as validator,
    ):
        await until(lambda: knows(validator, 5))
        assert feed.requests[1] == pb.WatchTrustRequest(epoch=EPOCH, from_revision=3)


async def test_after_a_gap_a_whole_snapshot_is_taken() -> None:
    async def script(request: pb.WatchTrustRequest) -> Messages:
        first = len(feed.requests) == 1
        yield whole(3 if first else 6)
        if first:
            yield delta(head(6), 5, log(6, 6))
        await for_ever()

    async with (
        ScriptedFeed(script) as feed,
        connected(feed) as connection,
        validator_at(connection) as validator,
    ):
        await until(lambda: knows(validator, 6))
        assert [request.epoch for request in feed.requests] == ["", ""]


async def test_another_log_replaces_the_view() -> None:
    async def script(request: pb.WatchTrustRequest) -> Messages:
        if len(feed.requests) == 1:
            yield whole(3)
            yield heartbeat(head(3, epoch=OTHER_EPOCH))
        yield whole(1, epoch=OTHER_EPOCH)
        await for_ever()

    async with (
        ScriptedFeed(script) as feed,
        connected(feed) as connection,
        validator_at(connection) as validator,
    ):
        await until(lambda: validator.local.trust.epoch == OTHER_EPOCH)
        assert validator.revision == 1
        assert [request.epoch for request in feed.requests] == ["", ""]


async def test_an_entry_that_cannot_be_honoured_ends_all_trust_until_it_is_gone() -> None:
    async def script(request: pb.WatchTrustRequest) -> Messages:
        sent = whole(3)
        if len(feed.requests) < 4:
            odd = entry_message(revoked(3))
            odd.kind = 99  # type: ignore[assignment]
            sent.snapshot.entries.append(odd)
        yield sent
        await for_ever()

    async with (
        ScriptedFeed(script) as feed,
        connected(feed) as connection,
        validator_at(connection) as validator,
    ):
        await until(lambda: len(feed.requests) == 3)
        assert not validator.fresh
        await until(lambda: knows(validator, 3))
        assert {request.epoch for request in feed.requests} == {""}


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(["send", "lose", "repeat", "swap", "beat"]), max_size=12))
async def test_whatever_happens_to_deltas_in_the_end_all_are_known(fates: list[str]) -> None:
    """A view that is fresh is never without an entry below its revision."""
    total = len(fates) + 1

    async def script(request: pb.WatchTrustRequest) -> Messages:
        if len(feed.requests) > 1:
            if request.epoch:
                known = request.from_revision
                yield delta(head(total), known, log(known + 1, total), [key_message()])
            else:
                yield whole(total)
            await for_ever()
        yield whole(1)
        for revision, fate in enumerate(fates, 2):
            sent = delta(head(revision), revision - 1, log(revision, revision))
            if fate == "beat":
                yield heartbeat(head(revision - 1))
            if fate == "swap":
                yield delta(head(revision + 1), revision, log(revision + 1, revision + 1))
            if fate != "lose":
                yield sent
            if fate == "repeat":
                yield sent

    async with (
        ScriptedFeed(script) as feed,
        connected(feed) as connection,
        validator_at(connection) as validator,
    ):
        while not knows(validator, total):
            assert not validator.fresh or knows(validator, validator.revision)
            await asyncio.sleep(0.002)
