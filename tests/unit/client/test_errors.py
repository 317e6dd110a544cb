"""What a failed call says."""

import pickle

import grpc
import pytest
from grpc import StatusCode

from tests.unit.client.fakes import rpc_error
from tokenservice import FieldViolation, TokenServiceError, Unreachable
from tokenservice._errors import error_of


def test_everything_that_the_service_says_is_read() -> None:
    error = error_of(
        rpc_error(
            StatusCode.INVALID_ARGUMENT,
            "FIELD_INVALID",
            fields=[("exchange_id", "must have 16 bytes")],
            retry_after=1.5,
            request_id="r-7",
            text="bad field",
        )
    )
    assert (error.reason, error.message, error.code) == (
        "FIELD_INVALID",
        "bad field",
        StatusCode.INVALID_ARGUMENT,
    )
    assert error.field_violations == (FieldViolation("exchange_id", "must have 16 bytes"),)
    assert (error.retry_after, error.request_id) == (1.5, "r-7")
    assert str(error) == ("FIELD_INVALID: bad field; exchange_id: must have 16 bytes (request r-7)")


@pytest.mark.parametrize(
    ("code", "reason", "unreachable"),
    [
        (StatusCode.UNAVAILABLE, "", True),
        (StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", True),
        (StatusCode.DEADLINE_EXCEEDED, "", True),
        (StatusCode.CANCELLED, "", True),
        (StatusCode.INTERNAL, "", True),
        (StatusCode.INTERNAL, "INTERNAL", False),
        (StatusCode.UNAUTHENTICATED, "TOKEN_REUSED", False),
        (StatusCode.PERMISSION_DENIED, "", False),
    ],
)
def test_who_could_not_answer_is_told_from_who_said_no(
    code: StatusCode, reason: str, unreachable: bool
) -> None:
    error = error_of(rpc_error(code, reason))
    assert isinstance(error, Unreachable) is unreachable
    assert error.reason == (reason or code.name)


def test_reasons_of_others_are_not_taken_for_the_services() -> None:
    error = error_of(rpc_error(StatusCode.UNAUTHENTICATED, "TOKEN_REUSED", domain="example.com"))
    assert error.reason == "UNAUTHENTICATED"
    assert not error.session_over


def test_details_that_are_none_do_not_hide_the_error() -> None:
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff"))
    broken = grpc.aio.AioRpcError(StatusCode.NOT_FOUND, grpc.aio.Metadata(), metadata, details="x")
    assert str(error_of(broken)) == "NOT_FOUND: x"


@pytest.mark.parametrize("reason", ["TOKEN_REUSED", "TOKEN_REVOKED", "TOKEN_EXPIRED"])
def test_a_session_that_is_over(reason: str) -> None:
    assert error_of(rpc_error(StatusCode.UNAUTHENTICATED, reason)).session_over


def test_errors_reach_other_processes_whole() -> None:
    error = error_of(rpc_error(StatusCode.UNAVAILABLE, "TRUST_STALE", retry_after=1.0))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(copy) is Unreachable
    assert (str(copy), copy.retry_after) == (str(error), error.retry_after)
    assert isinstance(copy, TokenServiceError)
