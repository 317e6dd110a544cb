"""What a failed call says."""

import pickle
from datetime import timedelta

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped] # has no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # has no stubs
from grpc import StatusCode

from tests.support.client_fakes import rpc_error
from tokenservice import (
    CredentialsInvalid,
    FactorRequired,
    FieldViolation,
    PermissionDenied,
    RateLimited,
    Reason,
    SessionOver,
    TokenServiceError,
    Unreachable,
)
from tokenservice._errors import CLASSES, DETAILS_KEY, error_of
from tokenservice.v1.error_reason_pb2 import ErrorReason


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
    assert (error.retry_after, error.request_id) == (timedelta(seconds=1.5), "r-7")
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
    assert error.reason is (Reason(reason) if reason else Reason.UNKNOWN)
    assert error.raw_reason == (reason or code.name)


def test_reasons_of_others_are_not_taken_for_the_services() -> None:
    error = error_of(rpc_error(StatusCode.UNAUTHENTICATED, "TOKEN_REUSED", domain="example.com"))
    assert (error.reason, error.raw_reason) == (Reason.UNKNOWN, "UNAUTHENTICATED")
    assert type(error) is TokenServiceError


NO_CLASS_OF_THEIR_OWN = {
    "CALLER_UNAUTHENTICATED",
    "STEP_UP_REQUIRED",
    "TOKEN_SUPERSEDED",
    "BINDING_MISMATCH",
    "FIELD_INVALID",
    "REVISION_UNKNOWN",
    "CLIENT_NOT_FOUND",
    "USER_NOT_FOUND",
    "SESSION_NOT_FOUND",
    "KEY_NOT_FOUND",
    "ROLE_NOT_FOUND",
    "USER_EXISTS",
    "CLIENT_EXISTS",
    "PAIRING_STATE",
    "CHECK_NUMBER_WRONG",
    "CLIENT_NOT_APPROVED",
    "CLIENT_DISABLED",
    "CLIENT_STATE",
    "CREDENTIALS_COLLECTED",
    "KEY_STATE",
    "INTERNAL",
    "METHOD_UNKNOWN",
    "CODE_UNKNOWN",
    "CODE_EXPIRED",
    "CODE_NOT_YET_VALID",
    "CODE_USED_UP",
    "CODE_REVOKED",
    "REQUEST_ID_USED",
    "PAIRING_NOT_FOUND",
    "PAIRING_NETWORK_MISMATCH",
}
RAISED_AS: dict[str, type[TokenServiceError]] = {
    **dict.fromkeys(NO_CLASS_OF_THEIR_OWN, TokenServiceError),
    **dict.fromkeys(
        ["TOKEN_MALFORMED", "TOKEN_UNKNOWN", "TOKEN_EXPIRED", "TOKEN_REVOKED", "TOKEN_REUSED"],
        SessionOver,
    ),
    "CREDENTIALS_INVALID": CredentialsInvalid,
    **dict.fromkeys(["RATE_LIMITED", "ACCOUNT_LOCKED", "OVERLOADED"], RateLimited),
    **dict.fromkeys(
        [
            "PERMISSION_MISSING",
            "CLIENT_MISMATCH",
            "SCOPE_WIDENED",
            "SCOPE_NOT_ALLOWED",
            "AUDIENCE_NOT_ALLOWED",
            "PLATFORM_NOT_ALLOWED",
            "CREDENTIAL_NOT_ALLOWED",
            "SELF_REVIEW",
        ],
        PermissionDenied,
    ),
    **dict.fromkeys(
        ["STORE_UNAVAILABLE", "TRUST_STALE", "SHUTTING_DOWN", "DEADLINE_EXCEEDED"], Unreachable
    ),
}


def test_every_reason_of_the_service_has_a_name_and_a_class() -> None:
    """A reason that is added to the protos is added here with the class that it deserves."""
    of_the_protos = {
        name.removeprefix("ERROR_REASON_")
        for name in ErrorReason.keys()  # noqa: SIM118 - no dict
    } - {"UNSPECIFIED"}
    assert set(RAISED_AS) == of_the_protos
    assert set(Reason) == of_the_protos | {"UNKNOWN", "FACTOR_REQUIRED"}
    assert {**RAISED_AS, "FACTOR_REQUIRED": FactorRequired} == CLASSES


def test_every_reason_is_raised_as_its_class() -> None:
    for reason, kind in CLASSES.items():
        error = error_of(rpc_error(StatusCode.FAILED_PRECONDITION, reason))
        assert (type(error), error.reason, error.raw_reason) == (kind, reason, reason.value)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (StatusCode.PERMISSION_DENIED, PermissionDenied),
        (StatusCode.RESOURCE_EXHAUSTED, RateLimited),
        (StatusCode.UNAVAILABLE, Unreachable),
        (StatusCode.UNAUTHENTICATED, TokenServiceError),
        (StatusCode.INTERNAL, TokenServiceError),
    ],
)
def test_a_reason_of_a_newer_server_goes_by_its_status_code(
    code: StatusCode, kind: type[TokenServiceError]
) -> None:
    error = error_of(rpc_error(code, "MOON_IS_FULL"))
    assert (type(error), error.reason, error.raw_reason) == (kind, Reason.UNKNOWN, "MOON_IS_FULL")
    assert str(error).startswith("MOON_IS_FULL: ")


def test_details_that_are_none_do_not_hide_the_error() -> None:
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff"))
    broken = grpc.aio.AioRpcError(StatusCode.NOT_FOUND, grpc.aio.Metadata(), metadata, details="x")
    assert str(error_of(broken)) == "NOT_FOUND: x"


@pytest.mark.parametrize(
    "detail",
    [
        Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff"),
        Any(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff"),
        Any(type_url="type.googleapis.com/google.rpc.RetryInfo", value=b"\xff"),
    ],
)
def test_a_detail_that_is_none_does_not_hide_the_others(detail: Any) -> None:
    status = Status.FromString(_details_of(rpc_error(StatusCode.NOT_FOUND, "KEY_NOT_FOUND")))
    status.details.insert(0, detail)
    assert error_of(_with_details(status)).reason is Reason.KEY_NOT_FOUND


@pytest.mark.parametrize(
    ("seconds", "wait"),
    [(10**15, timedelta(days=3_652_500)), (-(10**15), timedelta(0)), (2**63 - 1, None)],
)
def test_no_wait_is_too_long_to_be_told(seconds: int, wait: timedelta | None) -> None:
    retry, packed = RetryInfo(), Any()
    retry.retry_delay.seconds = seconds
    packed.Pack(retry)
    found = error_of(_with_details(Status(details=[packed]))).retry_after
    assert found == (wait if wait is not None else timedelta(days=3_652_500))


def _details_of(error: grpc.aio.AioRpcError) -> bytes:
    found = dict(error.trailing_metadata())[DETAILS_KEY]
    assert isinstance(found, bytes)
    return found


def _with_details(status: Status) -> grpc.aio.AioRpcError:
    metadata = grpc.aio.Metadata((DETAILS_KEY, status.SerializeToString()))
    return grpc.aio.AioRpcError(StatusCode.NOT_FOUND, grpc.aio.Metadata(), metadata, details="x")


def test_errors_reach_other_processes_whole() -> None:
    error = error_of(rpc_error(StatusCode.UNAVAILABLE, "TRUST_STALE", retry_after=1.0))
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(copy) is Unreachable
    assert (str(copy), copy.retry_after, copy.reason) == (
        str(error),
        timedelta(seconds=1),
        Reason.TRUST_STALE,
    )
    assert isinstance(copy, TokenServiceError)
