"""A refusal is rendered from the details that the service sends, not from its text alone."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import grpc
import pytest

from token_service.cli.problems import refusal_of, show_refusal
from token_service.domain.errors import Reason, TokenServiceError, invalid_field
from token_service.rpc.errors import DETAILS_KEY, ErrorReply, reply_for


@dataclass(frozen=True)
class FailedCall(grpc.RpcError):
    """What grpc raises for a call, with the parts that are read."""

    status: grpc.StatusCode
    text: str
    metadata: tuple[tuple[str, str | bytes], ...] = ()

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return self.text

    def trailing_metadata(self) -> Any:
        return self.metadata


def failed(reply: ErrorReply) -> FailedCall:
    return FailedCall(reply.code, reply.message, ((DETAILS_KEY, reply.details),))


def test_the_reason_and_the_delay_come_from_the_details() -> None:
    locked = TokenServiceError(
        Reason.ACCOUNT_LOCKED, "too many attempts", retry_after=timedelta(seconds=90)
    )
    refusal = refusal_of(failed(reply_for(locked)))
    assert refusal.reason == "ACCOUNT_LOCKED"
    assert refusal.text() == "ACCOUNT_LOCKED: too many attempts\n  try again in 90s"
    assert not refusal.outcome_unknown


def test_the_field_at_fault_is_named() -> None:
    refusal = refusal_of(failed(reply_for(invalid_field("device.name", "is too long"))))
    assert refusal.fields == (("device.name", "is too long"),)
    assert refusal.text() == "FIELD_INVALID: is too long\n  field device.name"


def test_a_failure_without_details_is_told_by_its_code() -> None:
    refusal = refusal_of(FailedCall(grpc.StatusCode.UNAVAILABLE, "connection refused"))
    assert refusal.text() == "UNAVAILABLE: connection refused"
    assert refusal.outcome_unknown


def test_details_that_cannot_be_read_are_left_out() -> None:
    broken = FailedCall(grpc.StatusCode.INTERNAL, "oops", ((DETAILS_KEY, b"\xff\xff"),))
    assert refusal_of(broken).text() == "INTERNAL: oops"


def test_scripts_read_one_line_of_json_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    refusal = refusal_of(failed(reply_for(invalid_field("token", "is empty"))))
    show_refusal(refusal, as_json=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    error = json.loads(captured.err)["error"]
    assert error["reason"] == "FIELD_INVALID"
    assert error["fields"] == [{"field": "token", "description": "is empty"}]
