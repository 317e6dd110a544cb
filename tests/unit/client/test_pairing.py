"""Following a pairing over streams that break, and what is kept over retries."""

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from grpc import StatusCode

from tests.support.client_fakes import FakeConnection, FakeTime, half, rpc_error
from tokenservice import (
    BackgroundLoop,
    PairingClient,
    PairingDirection,
    PairingKey,
    PairingState,
    PairingStatus,
    Side,
    SyncPairingClient,
    TokenServiceError,
    Unreachable,
    code_of,
)
from tokenservice.v1 import pairing_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

if TYPE_CHECKING:
    from tokenservice import Connection, SyncConnection

KEY = PairingKey("id", Side.STARTER, "watch-secret")
PENDING = pb.WatchPairingResponse(state=types.PAIRING_STATE_PENDING, code="1", qr_uri="x/map/1")
SCANNED = pb.WatchPairingResponse(state=types.PAIRING_STATE_SCANNED, check_number="07")
DENIED = pb.WatchPairingResponse(state=types.PAIRING_STATE_DENIED)
GONE = rpc_error(StatusCode.UNAVAILABLE)
BUSY = rpc_error(StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", retry_after=7.0)
STRANGER = rpc_error(StatusCode.UNAUTHENTICATED, "CALLER_UNAUTHENTICATED")
UNKNOWN = rpc_error(StatusCode.NOT_FOUND, "PAIRING_NOT_FOUND")


class Stream:
    """Replies, and at the end an error or nothing."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.cancelled = False

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Any:
        if not self.script:
            raise StopAsyncIteration
        answer = self.script.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def cancel(self) -> None:
        self.cancelled = True


class PairingService(FakeConnection):
    """Streams one after another; unary calls answer from the script."""

    def __init__(self, time: FakeTime, *script: Any, streams: tuple[Stream, ...] = ()) -> None:
        super().__init__(time, *script)
        self.streams = list(streams)
        self.watched: list[Any] = []

    @property
    def pairings(self) -> "PairingService":
        return self

    def WatchPairing(self, request: Any, **_: Any) -> Stream:  # noqa: N802 - the stub's name
        self.watched.append(request)
        return self.streams.pop(0)

    def __getattr__(self, _: str) -> Callable[..., Any]:
        return self.method

    def client(self) -> PairingClient:
        return PairingClient(
            cast("Connection", self), clock=self.time, random=half, sleep=self.time.sleep
        )


async def followed(service: PairingService, **how: Any) -> list[PairingStatus]:
    return [status async for status in service.client().watch(KEY, **how)]


async def test_a_broken_stream_is_opened_again_and_nothing_is_told_twice() -> None:
    streams = (Stream(PENDING, GONE), Stream(PENDING, SCANNED), Stream(SCANNED, DENIED))
    service = PairingService(FakeTime(), streams=streams)
    states = [status.state.name for status in await followed(service)]
    assert states == ["PENDING", "SCANNED", "DENIED"]
    assert all(stream.cancelled for stream in streams)
    assert service.failures == 1
    assert [one.watch_secret for one in service.watched] == ["watch-secret"] * 3


async def test_a_stream_moves_when_its_channel_was_replaced() -> None:
    """Files of the connection were renewed; the server repeats what it told, so that it is seen."""
    streams = (Stream(PENDING, PENDING), Stream(PENDING, DENIED))
    service = PairingService(FakeTime(), streams=streams)
    current = iter([True, False, True, True])
    service.current = lambda _: next(current)  # type: ignore[method-assign]
    states = [status.state.name for status in await followed(service)]
    assert states == ["PENDING", "DENIED"]
    assert all(stream.cancelled for stream in streams)


async def test_what_the_server_asks_for_is_waited_for() -> None:
    service = PairingService(FakeTime(), streams=(Stream(BUSY), Stream(DENIED)))
    await followed(service)
    assert service.time.slept[0] >= 7.0


async def test_nobody_waits_for_ever() -> None:
    service = PairingService(FakeTime(), streams=tuple(Stream(GONE) for _ in range(99)))
    with pytest.raises(Unreachable):
        await followed(service, patience=timedelta(seconds=10))
    assert 8.0 < sum(service.time.slept) <= 10.0


def test_who_stops_watching_ends_the_stream() -> None:
    stream = Stream(PENDING, SCANNED)
    service = PairingService(FakeTime(), streams=(stream,))
    loop = BackgroundLoop()
    watching = SyncPairingClient(
        cast("SyncConnection", SimpleNamespace(asynchronous=service, loop=loop))
    ).watch(KEY)
    assert next(iter(watching)).state is PairingState.PENDING
    watching.close()
    assert stream.cancelled
    loop.close()


@pytest.mark.parametrize("error", [UNKNOWN, STRANGER])
async def test_what_no_other_stream_would_cure(error: Any) -> None:
    service = PairingService(FakeTime(), streams=(Stream(PENDING, error),))
    with pytest.raises(TokenServiceError):
        await followed(service)
    assert service.time.slept == []


async def test_another_credential_is_tried_once() -> None:
    service = PairingService(FakeTime(), streams=(Stream(STRANGER), Stream(DENIED)))
    service.renewable = True
    assert len(await followed(service)) == 1
    service = PairingService(FakeTime(), streams=(Stream(STRANGER), Stream(STRANGER)))
    service.renewable = True
    with pytest.raises(TokenServiceError, match="CALLER_UNAUTHENTICATED"):
        await followed(service)


async def test_polling_honours_when_to_come_back() -> None:
    early = rpc_error(StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED", retry_after=4.0)
    same = pb.GetPairingResponse(state=types.PAIRING_STATE_PENDING)
    over = pb.GetPairingResponse(state=types.PAIRING_STATE_EXPIRED)
    service = PairingService(FakeTime(), same, early, same, over)
    states = [
        one.state async for one in service.client().poll(KEY, interval=timedelta(seconds=2.0))
    ]
    assert states == [PairingState.PENDING, PairingState.EXPIRED]
    assert service.time.slept[0] == 2.0
    assert service.time.slept[1] >= 4.0


async def test_a_scan_and_a_collection_keep_their_ids() -> None:
    service = PairingService(FakeTime(), GONE, pb.ScanPairingResponse(pairing_id="p"), GONE)
    client = service.client()
    scan = await client.scan("code", session_token="token")
    first, second = service.requests
    assert first.scan_id == second.scan_id
    assert len(first.scan_id) == 16
    service.script += [pb.CollectPairingResponse()] * 2
    await client.collect(scan.key)
    await client.collect(scan.key)
    assert {one.exchange_id for one in service.requests[2:]} == {scan.key.collect_id}


async def test_a_number_is_sent_once() -> None:
    service = PairingService(FakeTime(), GONE)
    with pytest.raises(Unreachable):
        await service.client().approve(KEY, session_token="token", check_number="07")
    assert len(service.requests) == 1


async def test_no_repr_shows_a_secret() -> None:
    started = pb.StartPairingResponse(
        pairing_id="p", watch_secret="s3cret", code="c0de", qr_uri="tokenservice:pair/map/c0de"
    )
    scanned = pb.ScanPairingResponse(pairing_id="p", scan_secret="s3cret", check_number="77")
    status = pb.GetPairingResponse(state=types.PAIRING_STATE_PENDING, code="c0de", qr_uri="x/c0de")
    client = PairingService(FakeTime(), started, scanned, status).client()
    shown = repr(await client.start(PairingDirection.MAP)) + repr(await client.scan("c0de"))
    shown += repr(await client.get(KEY))
    assert not any(secret in shown for secret in ("s3cret", "c0de", "77", "watch-secret"))


def test_the_states_are_those_of_the_wire() -> None:
    for state in PairingState:
        assert types.PairingState.Name(state).endswith(state.name)  # type: ignore[arg-type] # its number
    for direction in PairingDirection:
        assert types.PairingDirection.Name(direction).endswith(direction.name)  # type: ignore[arg-type] # its number
    assert [state.name for state in PairingState if not state.final] == [
        "UNSPECIFIED",
        "PENDING",
        "SCANNED",
        "APPROVED",
    ]


@pytest.mark.parametrize("text", ["tokenservice:pair/map/AB-C", "https://x/pair/pam/AB-C ", "AB-C"])
def test_the_code_in_a_qr_code(text: str) -> None:
    assert code_of(text) == "AB-C"
