"""Whatever goes on failing is tried less and less often: the calls, on a clock of our own."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from grpc import StatusCode

from tests.support.client_fakes import FakeConnection, FakeService, FakeTime, half, rpc_error
from tests.support.feed_messages import heartbeat, key_message, message, snapshot
from tests.support.hands import HandClock
from tests.support.tokens import NOW
from tokenservice import PairingClient, PairingKey, Side, TokenServiceError, TokenSource
from tokenservice._decisions.activity import ActivityLog, ActivityReporter
from tokenservice._decisions.local_validator import LocalValidator
from tokenservice._errors import error_of
from tokenservice._validator.follower import TrustFollower
from tokenservice._validator.remote import RemoteValidation, Unanswered
from tokenservice.v1 import pairing_service_pb2 as pairing_pb
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import trust_service_pb2 as trust_pb
from tokenservice.v1 import types_pb2 as types

if TYPE_CHECKING:
    from tokenservice import Connection

SECONDS = 60.0
OFTEN = 60
"""More calls than one a second would be a flood; one that still looks must not stop."""

WITHDRAWN = rpc_error(StatusCode.PERMISSION_DENIED, "PERMISSION_MISSING")
STRANGER = rpc_error(StatusCode.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED")
FAILURES = {
    "withdrawn": WITHDRAWN,
    "by a proxy": rpc_error(StatusCode.PERMISSION_DENIED),
    "stranger": STRANGER,
    "unimplemented": rpc_error(StatusCode.UNIMPLEMENTED),
    "limited": rpc_error(StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=20.0),
    "overloaded": rpc_error(StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED"),
    "gone": rpc_error(StatusCode.UNAVAILABLE),
}

failing = pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)


def few(calls: int, failure: Exception) -> bool:
    asked_for = failure is FAILURES["limited"]
    return 2 <= calls <= (SECONDS / 20.0 + 1 if asked_for else OFTEN)


async def for_a_minute(time: FakeTime, work: Any) -> None:
    """Let it run until a minute is over by its own clock."""
    started = time.now
    task = asyncio.create_task(work)
    while time.now < started + SECONDS and not task.done():
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Feed:
    """Streams that say a few things and fail."""

    def __init__(
        self, time: FakeTime, failure: Exception, *told: trust_pb.WatchTrustResponse
    ) -> None:
        self.opened = 0
        self.time = time
        self._failure = failure
        self._told = told
        hand = HandClock(anchored=False)
        self.follower = TrustFollower(
            LocalValidator(clock=hand.clock), self._watch, random=half, sleep=time.sleep
        )

    async def _watch(self, ask: Callable[[], trust_pb.WatchTrustRequest]) -> "Feed":
        ask()
        self.opened += 1
        self._left = list(self._told)
        return self

    async def read(self) -> object:
        if self._left:
            return self._left.pop(0)
        raise error_of(cast("Any", self._failure))

    @property
    def outdated(self) -> bool:
        return False

    def cancel(self) -> bool:
        return True


@failing
async def test_the_trust_feed(failure: Exception) -> None:
    feed = Feed(FakeTime(), failure)
    await for_a_minute(feed.time, feed.follower.run())
    assert few(feed.opened, failure)


@failing
async def test_a_trust_feed_that_begins_well_each_time(failure: Exception) -> None:
    beginning = snapshot(message(7, NOW), [], [key_message()])
    feed = Feed(FakeTime(), failure, beginning, heartbeat(message(7, NOW)))
    await for_a_minute(feed.time, feed.follower.run())
    assert feed.follower.ready.is_set()
    assert few(feed.opened, failure)


class Questions:
    """A gateway under load, 200 requests a second, whose questions all fail."""

    def __init__(self, failure: Exception) -> None:
        self.time = FakeTime()
        self.calls = 0
        self.failure: Exception | None = failure
        self.remote = RemoteValidation(self._call, clock=self.time, random=half)

    async def _call(self, requests: Sequence[pb.ValidateRequest]) -> list[pb.ValidateResponse]:
        self.calls += 1
        if self.failure is not None and any(one.audience == "orders" for one in requests):
            raise error_of(cast("Any", self.failure))
        return [pb.ValidateResponse() for _ in requests]

    async def ask(self, token: str, audience: str = "orders") -> str:
        request = pb.ValidateRequest(token=token, audience=audience)
        try:
            await self.remote.ask((token, audience), request)
        except Unanswered as unanswered:
            return unanswered.reason
        return ""

    async def minute(self) -> set[str]:
        reasons = set()
        for number in range(int(10 * SECONDS)):
            batch = (self.ask(f"{number}.{one}") for one in range(20))
            reasons.update(await asyncio.gather(*batch))
            self.time.now += 0.1
        return reasons


REFUSED_QUESTION = rpc_error(StatusCode.PERMISSION_DENIED, "AUDIENCE_NOT_ALLOWED")


@pytest.mark.parametrize(
    "failure", [*FAILURES.values(), REFUSED_QUESTION], ids=[*FAILURES, "audience withdrawn"]
)
async def test_questions(failure: Exception) -> None:
    questions = Questions(failure)
    reasons = await questions.minute()
    assert "" not in reasons
    assert questions.calls <= 2 * OFTEN  # for a gateway that is busy, and back at once
    if failure is REFUSED_QUESTION:
        assert await questions.ask("t", "billing") == ""
    questions.failure = None
    questions.time.now += SECONDS
    assert await questions.ask("again") == ""


async def test_what_is_waited_for_is_refused_when_the_service_refuses() -> None:
    """Questions that gathered behind the first calls do not each make one more."""
    questions = Questions(WITHDRAWN)
    reasons = await asyncio.gather(*(questions.ask(str(one)) for one in range(4_000)))
    assert set(reasons) == {"permission_missing"}
    assert questions.calls <= 4


@failing
async def test_reports_of_activity(failure: Exception) -> None:
    time, calls = FakeTime(NOW), 0
    log, hand = ActivityLog(), HandClock()

    async def report(_: dict[str, float], __: float) -> dict[str, float]:
        nonlocal calls
        calls += 1
        raise error_of(cast("Any", failure))

    def more(number: int) -> None:
        for session in range(5_000):
            log.touch(f"{number}.{session}", NOW)

    async def sleep(seconds: float) -> None:
        more(len(time.slept))
        await time.sleep(seconds)

    reporter = ActivityReporter(log, hand.clock, report, random=half, sleep=sleep)
    await for_a_minute(time, reporter.run())
    assert 2 <= calls <= 6


STANDING = pairing_pb.WatchPairingResponse(state=types.PAIRING_STATE_PENDING, code="1")


class Pairings(FakeConnection):
    """Each stream says how the pairing stands, and fails."""

    def __init__(self, failure: Exception) -> None:
        super().__init__(FakeTime())
        self.watched = 0
        self.failure = failure

    @property
    def pairings(self) -> "Pairings":
        return self

    def WatchPairing(self, *_: Any, **__: Any) -> Any:  # noqa: N802 - the stub's name
        self.watched += 1

        class Stream:
            cancel = staticmethod(lambda: True)

            async def __aiter__(this: Any) -> Any:  # noqa: N805
                yield STANDING
                raise self.failure

        return Stream()


@failing
async def test_a_pairing_that_is_followed(failure: Exception) -> None:
    pairings = Pairings(failure)
    client = PairingClient(
        cast("Connection", pairings), clock=pairings.time, random=half, sleep=pairings.time.sleep
    )
    key = PairingKey("id", Side.STARTER, "watch-secret")

    async def follow() -> None:
        async for _ in client.watch(key, patience=timedelta(seconds=10 * SECONDS)):
            pass

    await for_a_minute(pairings.time, follow())
    assert 1 <= pairings.watched <= OFTEN


@failing
async def test_a_token_source(failure: Exception) -> None:
    time = FakeTime()
    service = FakeService(time)
    service.failures = [error_of(cast("Any", failure)) for _ in range(1_000)]
    source = TokenSource(service.client, "orders", time=time.server_time(), random=half)
    for _ in range(int(10 * SECONDS)):
        with pytest.raises(TokenServiceError):
            await source.token()
        time.now += 0.1
    assert few(1_000 - len(service.failures), failure)


async def test_a_token_source_whose_tokens_are_refused_elsewhere() -> None:
    """An API that refuses every token does not cost the service an exchange per request."""
    time = FakeTime()
    service = FakeService(time)
    source = TokenSource(service.client, "orders", time=time.server_time(), random=half)
    for _ in range(int(10 * SECONDS)):
        source.rejected(await source.token())
        time.now += 0.1
    assert 2 <= service.logins + len(service.exchanges) <= OFTEN
    # A refusal long after that is answered at once.
    for _ in range(2):
        time.now += 120.0
        token = await source.token()
        source.rejected(token)
        assert await source.token() != token
