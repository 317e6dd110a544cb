"""What goes into requests and comes out of replies."""

import traceback
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from tokenservice import Check, Source, TokenClient, TokenServiceError
from tokenservice import _messages as messages
from tokenservice._times import moment_of
from tokenservice.core import Platform, TokenKind, Verdict
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

PASSWORD = "correct horse \ud800 battery"


class Recorder:
    """Takes the place of the calls and keeps what was asked."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.requests: list[Any] = []

    async def call(self, _: Any, request: Any, *__: Any) -> Any:
        self.requests.append(request)
        return self.replies.pop(0)


def client(recorder: Recorder) -> TokenClient:
    made = TokenClient.__new__(TokenClient)
    made.__dict__.update(_calls=recorder, _exchange_ids=lambda _: b"i" * 16)
    return made


async def test_a_password_that_cannot_be_sent_is_not_shown() -> None:
    with pytest.raises(TokenServiceError, match="FIELD_INVALID") as caught:
        await client(Recorder()).login_with_password("alice", PASSWORD, platform=Platform.WEB)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert "horse" not in shown


@pytest.mark.parametrize("token", ["", "x\ud800", "é", "x" * 8193, "x" * 10_000_000])
async def test_what_no_token_can_be_is_not_sent(token: str) -> None:
    recorder = Recorder(pb.ValidateResponse(verdict=types.VERDICT_MALFORMED), pb.RevokeResponse())
    asking = client(recorder)
    with pytest.raises(TokenServiceError, match="TOKEN_MALFORMED"):
        await asking.exchange(token)
    assert (await asking.validate(token, audience="orders")).verdict is Verdict.MALFORMED
    await asking.revoke(token=token)
    assert all(len(request.token) <= 1 for request in recorder.requests)


async def test_one_text_is_not_taken_for_several_names() -> None:
    with pytest.raises(TypeError, match="several names"):
        await client(Recorder()).exchange("token", scopes="orders.read")
    with pytest.raises(TypeError, match="several names"):
        await client(Recorder()).validate("token", audience="orders", scopes="orders.read")


async def test_an_exchange_id_has_16_bytes() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        await client(Recorder()).exchange("token", exchange_id=b"short")


async def test_durations_are_timedeltas() -> None:
    recorder, age = Recorder(pb.ValidateResponse()), timedelta(seconds=90.5)
    await client(recorder).validate("token", audience="orders", max_auth_age=age)
    assert recorder.requests[0].max_auth_age.ToTimedelta() == age
    number: Any = 300
    with pytest.raises(TypeError, match="max_auth_age is a timedelta"):
        await client(Recorder()).validate("t", audience="orders", max_auth_age=number)
    with pytest.raises(TypeError, match="replay_within is a timedelta"):
        await client(Recorder()).exchange("token", replay_within=number)


@pytest.mark.parametrize("seconds", [-(2**62), 2**62, 0, 1_800_000_000])
def test_times_that_no_calendar_has_are_the_nearest_ones(seconds: int) -> None:
    moment = moment_of(Timestamp(seconds=seconds, nanos=1_500))
    assert moment.tzinfo is UTC
    assert datetime.min.replace(tzinfo=UTC) <= moment <= datetime.max.replace(tzinfo=UTC)
    if 0 <= seconds < 2**40:
        assert moment == datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=1)


async def test_a_verdict_that_is_not_known_refuses() -> None:
    reply = pb.ValidateResponse(verdict=99, http_status=200)  # type: ignore[arg-type] # a newer one
    decision = await client(Recorder(reply)).validate("token", audience="orders")
    assert not decision.active
    assert (decision.http_status, decision.source) == (503, Source.NONE)


async def test_batches_are_cut_to_what_one_call_takes() -> None:
    active = pb.ValidateResponse(verdict=types.VERDICT_ACTIVE, http_status=200)
    expired = pb.ValidateResponse(verdict=types.VERDICT_EXPIRED, http_status=401)
    recorder = Recorder(
        pb.BatchValidateResponse(responses=[active] * 256),
        pb.BatchValidateResponse(responses=[expired] * 44),
    )
    checks = [Check(token=str(number), audience="orders") for number in range(300)]
    decisions = await client(recorder).batch_validate(checks)
    assert [one.active for one in decisions] == [True] * 256 + [False] * 44
    asked = [one.token for request in recorder.requests for one in request.requests]
    assert asked == [check.token for check in checks]


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"token": "t", "session_id": "s"},
        {"device_id": "d"},
        {"token": "t", "device_id": "d"},
        {"subject": "u", "everything": True},
    ],
)
async def test_a_revocation_has_one_target(target: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        await client(Recorder()).revoke(**target)


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ({"token": "t"}, "token"),
        ({"session_id": ""}, "session_id"),
        ({"subject": "u"}, "subject"),
        ({"subject": "u", "device_id": "d"}, "subject_device"),
        ({"client_id": "c"}, "client_id"),
        ({"key_id": "k"}, "key_id"),
        ({"everything": True}, "everything"),
    ],
)
async def test_every_target_arrives(target: dict[str, Any], field: str) -> None:
    recorder = Recorder(pb.RevokeResponse(revision=7, revoked_sessions=2))
    revoked = await client(recorder).revoke(**target, note="why")
    assert recorder.requests[0].WhichOneof("target") == field
    assert (revoked.revision, revoked.sessions) == (7, 2)


def test_token_sets_are_read_and_show_nothing() -> None:
    message = types.TokenSet(session_token="SECRET-1", session_kind=types.TOKEN_KIND_WEB_SESSION)
    message.session_idle_expires_at.FromNanoseconds(1_500_000_000)
    message.access_tokens.add(token="SECRET-2", audience="orders", scopes=["a", "b"])
    tokens = messages.token_set(message, replayed=True)
    assert (tokens.session_kind, tokens.idle_expires_at) == (
        TokenKind.WEB_SESSION,
        datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC),
    )
    assert tokens.exchangeable == "SECRET-1"
    assert tokens.access_token("orders").scopes == ("a", "b")
    assert tokens.replayed
    assert "SECRET" not in f"{tokens!r} {Check(token='SECRET-3', audience='orders')!r}"
    with pytest.raises(LookupError, match="billing"):
        tokens.access_token("billing")


def test_the_rolling_token_is_the_one_that_is_exchanged() -> None:
    message = types.TokenSet(session_kind=types.TOKEN_KIND_ROLLING)
    message.access_tokens.add(token="rolling", audience="orders")
    message.access_tokens[0].exchange_until.FromSeconds(9)
    tokens = messages.token_set(message)
    assert tokens.exchangeable == "rolling"
    assert tokens.access_tokens[0].exchange_until == datetime(1970, 1, 1, 0, 0, 9, tzinfo=UTC)


def test_enums_of_newer_servers_are_unspecified() -> None:
    assert messages.member(TokenKind, 77) is TokenKind.UNSPECIFIED
