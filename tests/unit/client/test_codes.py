"""What CodeClient sends, keeps over retries, and reads."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest
from grpc import StatusCode

from tests.support.client_fakes import FakeConnection, FakeTime, at, half, rpc_error
from tokenservice import CodeClient, CodeKind, TokenServiceError, Unreachable
from tokenservice.v1 import code_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

if TYPE_CHECKING:
    from tokenservice import Connection

GONE = rpc_error(StatusCode.UNAVAILABLE)


class CodeService(FakeConnection):
    """Answers each method from the script."""

    @property
    def codes(self) -> "CodeService":
        return self

    def __getattr__(self, _: str) -> Any:
        return self.method


def client(service: CodeService) -> CodeClient:
    connection = cast("Connection", service)
    return CodeClient(connection, clock=service.time, random=half, sleep=service.time.sleep)


async def test_a_retry_repeats_the_request_id() -> None:
    service = CodeService(FakeTime(), GONE, pb.IssueCodeResponse(code_id="c", code="s3cret"))
    issued = await client(service).issue(purpose="p", kind=CodeKind.COUPON, ttl=timedelta(hours=1))
    assert "s3cret" not in repr(issued)
    first, second = service.requests
    assert first == second
    assert first.request_id
    assert first.ttl.seconds == 3600
    assert not first.HasField("not_before")
    reply = pb.RedeemCodeResponse(code_id="c", payload=b"s3cret")
    service = CodeService(FakeTime(), GONE, reply, reply)
    redeemed = await client(service).redeem(purpose="p", code="x")
    assert "s3cret" not in repr(redeemed)
    await client(service).redeem(purpose="p", code="x")
    assert len({one.request_id for one in service.requests}) == 2


async def test_without_an_id_nothing_is_sent_twice() -> None:
    service = CodeService(FakeTime(), GONE)
    with pytest.raises(Unreachable):
        await client(service).redeem(purpose="p", code="x", request_id="")
    assert len(service.requests) == 1


async def test_what_cannot_be_sent_is_refused_without_showing_it() -> None:
    with pytest.raises(TokenServiceError, match="FIELD_INVALID") as caught:
        await client(CodeService(FakeTime())).redeem(purpose="p", code="c0de \ud800")
    assert "c0de" not in repr(caught.value)


async def test_a_record_says_what_did_not_happen_yet() -> None:
    record = pb.CodeRecord(code_id="c", kind=types.CODE_KIND_VERIFICATION)
    record.expires_at.seconds = 1_800_000_000
    found = await client(CodeService(FakeTime(), pb.GetCodeResponse(record=record))).get("c")
    assert (found.kind, found.expires_at) == (CodeKind.VERIFICATION, at(1_800_000_000))
    assert (found.revoked_at, found.last_redeemed_at) == (None, None)


def test_the_kinds_are_those_of_the_wire() -> None:
    for kind in CodeKind:
        assert types.CodeKind.Name(kind).endswith(kind.name)  # type: ignore[arg-type] # its number
