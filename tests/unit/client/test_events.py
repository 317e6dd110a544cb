"""What a validator tells whoever operates it: one warning per outage, and counts for metrics."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import grpc
import pytest

from tests.support.small_service import AUTHORITY, CALLER, Service, serving
from tests.support.waiting import PATIENCE, until
from tokenservice import (
    Connection,
    Decision,
    Source,
    SyncConnection,
    SyncValidator,
    Tls,
    TokenServiceError,
    Unreachable,
    Validator,
    ValidatorEvents,
)
from tokenservice._decisions.events import GuardedEvents
from tokenservice._validator.assembled import AssembledValidator
from tokenservice._validator.outages import FEED, Outages
from tokenservice._validator.sync_validator import SyncAssembledValidator
from tokenservice.core import Verdict
from tokenservice.testing import Issuer

DOWN = Unreachable("", "nobody", grpc.StatusCode.UNAVAILABLE)
WITHDRAWN = TokenServiceError("PERMISSION_MISSING", "no", grpc.StatusCode.PERMISSION_DENIED)
DENIED = TokenServiceError("AUDIENCE_NOT_ALLOWED", "no", grpc.StatusCode.PERMISSION_DENIED)


class Counting(ValidatorEvents):
    """Writes everything down."""

    def __init__(self) -> None:
        self.decisions: list[tuple[Verdict, Source, str]] = []
        self.calls: list[tuple[int, str]] = []
        self.outages: list[str] = []

    def decided(self, decision: Decision) -> None:
        self.decisions.append((decision.verdict, decision.source, decision.reason))

    def asked(self, questions: int, took: timedelta, reason: str) -> None:
        assert took >= timedelta(0)
        self.calls.append((questions, reason))

    def outage_began(self, error: Exception) -> None:
        self.outages.append(str(error))

    def outage_ended(self, lasted: timedelta) -> None:
        assert lasted >= timedelta(0)
        self.outages.append("ended")


@pytest.fixture(autouse=True)
def levels(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(
        "tokenservice._validator.server_calls.CONNECT_WITHIN", timedelta(seconds=0.1)
    )
    with caplog.at_level(logging.DEBUG, "tokenservice"):
        yield


def said(caplog: pytest.LogCaptureFixture, at_least: int = logging.INFO) -> list[tuple[str, str]]:
    return [(one.levelname, one.message) for one in caplog.records if one.levelno >= at_least]


async def test_one_warning_per_outage_with_target_and_cause(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenservice._backoff.Pauses.after", lambda *_: 0.05)
    counting = Counting()
    async with serving() as first:
        address, port = first.address, first.port
    async with (
        Connection(address, CALLER, channels=1) as connection,
        Validator(connection, staleness_limit=timedelta(seconds=0.3), events=counting) as validator,
    ):
        await until(lambda: len(said(caplog)) == 1)
        for _ in range(5):
            assert not (await validator.validate("a.b.c", audience="orders")).active
        ((level, text),) = said(caplog)
        assert level == "WARNING"
        assert f"the token service at {address} cannot be used" in text
        assert "Connection refused" in text
        async with serving(port=port):
            await until(lambda: len(said(caplog)) == 2)
            assert validator.fresh
            assert validator.view_age < timedelta(seconds=0.3)
        level, text = said(caplog)[1]
        assert (level, text[:30]) == ("INFO", f"the token service at {address}"[:30])
        await until(lambda: len(said(caplog)) == 3)
        assert said(caplog)[2][0] == "WARNING"
    assert [one == "ended" for one in counting.outages] == [False, True, False]
    refused = [one for one in caplog.records if "is refused because" in one.message]
    assert refused
    assert {one.levelname for one in refused} == {"DEBUG"}
    assert "a.b.c" not in caplog.text
    assert CALLER.client_secret not in caplog.text


async def test_a_wrong_authority_is_told_in_the_warning(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        serving() as service,
        Connection(service.address, CALLER, tls=Tls(AUTHORITY.certificate)) as connection,
        Validator(connection),
    ):
        await until(lambda: len(said(caplog)) == 1)
    assert "does not speak TLS" in said(caplog)[0][1]


def test_an_outage_is_all_that_is_lost_at_the_same_time(caplog: pytest.LogCaptureFixture) -> None:
    counting, now = Counting(), 0.0
    outages = Outages("here", counting, lambda: now)
    for _ in range(3):
        outages.lost(FEED, DOWN)
        outages.unanswered("", DOWN)
    now = 7.0
    outages.answered(["orders"])
    assert said(caplog, logging.WARNING) == [
        ("WARNING", "the token service at here cannot be used: UNAVAILABLE: nobody")
    ]
    outages.found(FEED)
    assert said(caplog)[1] == ("INFO", "the token service at here can be used again, after 7.0 s")
    # Nobody has to ask a question before it is over.
    outages.unanswered("", DOWN)
    outages.found(FEED)
    assert len(counting.outages) == 4
    # What the service refuses is not over because the feed goes on.
    outages.unanswered("", WITHDRAWN)
    outages.found(FEED)
    assert len(counting.outages) == 5
    outages.answered(["orders"])
    outages.unanswered("billing", DENIED)
    outages.answered(["orders"])
    assert len(counting.outages) == 7
    outages.answered(["billing", "orders"])
    assert len(counting.outages) == 8


def asked_validators(
    issuer: Issuer, counting: Counting
) -> list[Callable[[str], Awaitable[Decision]]]:
    made = AssembledValidator(issuer.validator().local, events=counting)
    sync = SyncAssembledValidator(made, issuer.sync_validator().loop)
    return [
        lambda token: made.validate(token, audience="orders"),
        lambda token: asyncio.to_thread(sync.validate, token, audience="orders"),
    ]


@pytest.mark.parametrize("position", [0, 1], ids=["async", "sync"])
async def test_decisions_are_counted(position: int) -> None:
    issuer, counting = Issuer(audience="orders"), Counting()
    validate = asked_validators(issuer, counting)[position]
    good, other = issuer.token(), issuer.token(audience="billing")
    for token in (good, good, other, "nothing of ours"):
        await validate(token)
    with issuer.unreachable():
        await validate(good)
    local, nobody = Source.LOCAL, Source.NONE
    assert counting.decisions == [
        (Verdict.ACTIVE, local, ""),
        (Verdict.ACTIVE, local, ""),
        (Verdict.WRONG_AUDIENCE, local, ""),
        (Verdict.MALFORMED, local, ""),
        (Verdict.UNSPECIFIED, nobody, "stale"),
    ]


async def test_questions_are_counted() -> None:
    counting = Counting()
    service: Service
    async with (
        serving() as service,
        Connection(service.address, CALLER) as connection,
    ):
        validator = Validator(connection, events=counting)  # not started: all is asked about
        opaque = Issuer(audience="orders").token()
        decision = await validator.validate(opaque, audience="orders")
        assert counting.calls == [(1, "")]
        assert counting.decisions == [(decision.verdict, decision.source, decision.reason)]
        service.accepted = "somebody else"
        for _ in range(5):
            assert not (await validator.validate(opaque, audience="orders")).active
        assert counting.calls == [(1, ""), (1, "caller_unauthenticated")]
        assert len(counting.decisions) == 6
        assert len(counting.outages) == 1
        await validator.close()


async def test_questions_of_threads_are_counted() -> None:
    counting = Counting()
    token = Issuer(audience="orders").token()
    async with serving() as service:

        def ask() -> Decision:
            with (
                SyncConnection(
                    service.address, CALLER, channels=1, authority="tokens.test"
                ) as connection,
                SyncValidator(connection, events=counting) as validator,
            ):
                assert validator.wait_ready(timedelta(seconds=PATIENCE))
                assert validator.view_age < timedelta(seconds=PATIENCE)
                return validator.validate(token, audience="orders", min_revision=8)

        decision = await asyncio.to_thread(ask)
    assert counting.calls == [(1, "")]
    assert counting.decisions == [(decision.verdict, decision.source, decision.reason)]


async def test_a_hook_that_fails_changes_no_decision(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(ValidatorEvents):
        def decided(self, decision: Decision) -> None:
            raise KeyError(decision.verdict)

        def asked(self, questions: int, took: timedelta, reason: str) -> None:
            raise OSError(reason, questions, took)

    issuer = Issuer(audience="orders")
    events = GuardedEvents(Failing())
    validator = AssembledValidator(issuer.validator().local, events=events)
    token = issuer.token()
    assert (await validator.validate(token, audience="orders")).active
    events.asked(1, timedelta(0), "")
    events.outage_began(DOWN)
    events.outage_ended(timedelta(seconds=1))
    assert [level for level, _ in said(caplog)] == ["ERROR", "ERROR"]
    assert token not in caplog.text
