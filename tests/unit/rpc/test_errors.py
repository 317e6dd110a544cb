"""Reasons, their statuses and details."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]
    BadRequest,
    ErrorInfo,
    RetryInfo,
)
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc import StatusCode

from token_service.domain.errors import Reason, TokenServiceError, invalid_field
from token_service.rpc.errors import STATUS, PrescribedStatus, reply_for
from tokenservice.v1.error_reason_pb2 import ErrorReason

PROTO = Path(__file__).parents[3] / "protos/tokenservice/v1/error_reason.proto"
CANARY = "canary-77aa"


def details(error: BaseException) -> dict[str, Any]:
    status = Status.FromString(reply_for(error).details)
    found: dict[str, Any] = {"code": status.code, "message": status.message}
    for detail in status.details:
        for kind in (ErrorInfo, BadRequest, RetryInfo):
            message = kind()
            if detail.Unpack(message):
                found[kind.__name__] = message
    return found


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_status_and_is_named_on_the_wire(reason: Reason) -> None:
    found = details(TokenServiceError(reason, "text"))
    assert found["ErrorInfo"].domain == "tokenservice"
    assert found["ErrorInfo"].reason == reason.value
    assert "ERROR_REASON_" + found["ErrorInfo"].reason in ErrorReason.keys()  # noqa: SIM118
    assert found["code"] == STATUS[reason].value[0]
    assert found["message"] == "text"


def test_the_statuses_are_those_that_the_api_documents() -> None:
    pairs: dict[str, str] = {}
    status = ""
    for line in PROTO.read_text().splitlines():
        if found := re.match(r"  // ([A-Z]+(?:_[A-Z]+)*): ", line):
            status = found[1]
        elif found := re.match(r"  ERROR_REASON_([A-Z_]+) = ", line):
            pairs[found[1]], status = status, ""
    assert len(pairs) == len(ErrorReason.keys())
    assert {reason.value: status.name for reason, status in STATUS.items()} == {
        reason.value: pairs[reason.value] for reason in Reason
    }


def test_a_field_is_named() -> None:
    found = details(invalid_field("requests[3].audience", "must be given"))
    (violation,) = found["BadRequest"].field_violations
    assert (violation.field, violation.description) == ("requests[3].audience", "must be given")


RETRYABLE = {
    Reason.RATE_LIMITED,
    Reason.ACCOUNT_LOCKED,
    Reason.OVERLOADED,
    Reason.STORE_UNAVAILABLE,
    Reason.TRUST_STALE,
    Reason.SHUTTING_DOWN,
}


@pytest.mark.parametrize("reason", Reason)
def test_who_may_come_back_is_told_when(reason: Reason) -> None:
    assert ("RetryInfo" in details(TokenServiceError(reason, "x"))) == (reason in RETRYABLE)


def test_the_errors_own_time_counts() -> None:
    error = TokenServiceError(Reason.RATE_LIMITED, "x", retry_after=timedelta(seconds=7.5))
    assert details(error)["RetryInfo"].retry_delay.ToTimedelta() == timedelta(seconds=7.5)


@pytest.mark.parametrize(
    ("error", "code", "fault"),
    [
        (ValueError(CANARY), StatusCode.INTERNAL, True),
        (KeyError(CANARY), StatusCode.INTERNAL, True),
        (OSError(CANARY), StatusCode.INTERNAL, True),
        (TimeoutError(CANARY), StatusCode.DEADLINE_EXCEEDED, False),
        (TokenServiceError(Reason.INTERNAL, "internal error"), StatusCode.INTERNAL, True),
        (PrescribedStatus(StatusCode.NOT_FOUND, "nothing"), StatusCode.NOT_FOUND, False),
    ],
)
def test_other_errors_give_nothing_away(
    error: BaseException, code: StatusCode, fault: bool
) -> None:
    reply = reply_for(error)
    assert (reply.code, reply.fault) == (code, fault)
    assert CANARY not in reply.message
    assert CANARY.encode() not in reply.details
