"""The one place that turns what went wrong into a gRPC status with its details."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc import StatusCode

from token_service.domain.errors import Reason, TokenServiceError, invalid_field

DOMAIN = "tokenservice"
DETAILS_KEY = "grpc-status-details-bin"

STATUS: Mapping[Reason, StatusCode] = {
    Reason.CALLER_UNAUTHENTICATED: StatusCode.UNAUTHENTICATED,
    Reason.PERMISSION_MISSING: StatusCode.PERMISSION_DENIED,
    Reason.CLIENT_MISMATCH: StatusCode.PERMISSION_DENIED,
    Reason.SCOPE_WIDENED: StatusCode.PERMISSION_DENIED,
    Reason.SCOPE_NOT_ALLOWED: StatusCode.PERMISSION_DENIED,
    Reason.AUDIENCE_NOT_ALLOWED: StatusCode.PERMISSION_DENIED,
    Reason.PLATFORM_NOT_ALLOWED: StatusCode.PERMISSION_DENIED,
    Reason.CREDENTIAL_NOT_ALLOWED: StatusCode.PERMISSION_DENIED,
    Reason.SELF_REVIEW: StatusCode.PERMISSION_DENIED,
    Reason.CREDENTIALS_INVALID: StatusCode.UNAUTHENTICATED,
    Reason.STEP_UP_REQUIRED: StatusCode.UNAUTHENTICATED,
    Reason.TOKEN_MALFORMED: StatusCode.UNAUTHENTICATED,
    Reason.TOKEN_UNKNOWN: StatusCode.UNAUTHENTICATED,
    Reason.TOKEN_EXPIRED: StatusCode.UNAUTHENTICATED,
    Reason.TOKEN_REVOKED: StatusCode.UNAUTHENTICATED,
    Reason.TOKEN_REUSED: StatusCode.UNAUTHENTICATED,
    Reason.TOKEN_SUPERSEDED: StatusCode.FAILED_PRECONDITION,
    Reason.BINDING_MISMATCH: StatusCode.UNAUTHENTICATED,
    Reason.FIELD_INVALID: StatusCode.INVALID_ARGUMENT,
    Reason.REVISION_UNKNOWN: StatusCode.INVALID_ARGUMENT,
    Reason.CLIENT_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.USER_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.SESSION_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.KEY_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.ROLE_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.USER_EXISTS: StatusCode.ALREADY_EXISTS,
    Reason.CLIENT_EXISTS: StatusCode.ALREADY_EXISTS,
    Reason.CLIENT_NOT_APPROVED: StatusCode.FAILED_PRECONDITION,
    Reason.CLIENT_DISABLED: StatusCode.FAILED_PRECONDITION,
    Reason.CLIENT_STATE: StatusCode.FAILED_PRECONDITION,
    Reason.CREDENTIALS_COLLECTED: StatusCode.FAILED_PRECONDITION,
    Reason.KEY_STATE: StatusCode.FAILED_PRECONDITION,
    Reason.PAIRING_NOT_FOUND: StatusCode.NOT_FOUND,
    Reason.PAIRING_STATE: StatusCode.FAILED_PRECONDITION,
    Reason.PAIRING_NETWORK_MISMATCH: StatusCode.FAILED_PRECONDITION,
    Reason.CHECK_NUMBER_WRONG: StatusCode.FAILED_PRECONDITION,
    Reason.RATE_LIMITED: StatusCode.RESOURCE_EXHAUSTED,
    Reason.ACCOUNT_LOCKED: StatusCode.RESOURCE_EXHAUSTED,
    Reason.OVERLOADED: StatusCode.RESOURCE_EXHAUSTED,
    Reason.STORE_UNAVAILABLE: StatusCode.UNAVAILABLE,
    Reason.TRUST_STALE: StatusCode.UNAVAILABLE,
    Reason.SHUTTING_DOWN: StatusCode.UNAVAILABLE,
    Reason.DEADLINE_EXCEEDED: StatusCode.DEADLINE_EXCEEDED,
    Reason.METHOD_UNKNOWN: StatusCode.UNIMPLEMENTED,
    Reason.INTERNAL: StatusCode.INTERNAL,
    Reason.CODE_UNKNOWN: StatusCode.NOT_FOUND,
    Reason.CODE_EXPIRED: StatusCode.FAILED_PRECONDITION,
    Reason.CODE_NOT_YET_VALID: StatusCode.FAILED_PRECONDITION,
    Reason.CODE_USED_UP: StatusCode.FAILED_PRECONDITION,
    Reason.CODE_REVOKED: StatusCode.FAILED_PRECONDITION,
    Reason.REQUEST_ID_USED: StatusCode.FAILED_PRECONDITION,
}

RETRY_AFTER: Mapping[Reason, timedelta] = {
    Reason.RATE_LIMITED: timedelta(seconds=1),
    Reason.ACCOUNT_LOCKED: timedelta(seconds=30),
    Reason.OVERLOADED: timedelta(milliseconds=200),
    Reason.STORE_UNAVAILABLE: timedelta(seconds=1),
    Reason.TRUST_STALE: timedelta(seconds=1),
    Reason.SHUTTING_DOWN: timedelta(milliseconds=100),
}
"""When to come back, where the error itself does not say."""


class PrescribedStatus(Exception):  # noqa: N818 - a status that a standard protocol asks for
    """A status that the protocol of a standard service prescribes, none of our own reasons."""

    def __init__(self, code: StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class RefusedAtTheDoor(TokenServiceError):  # noqa: N818 - as TokenServiceError's other refusals
    """A refusal before any work was done. Crowds are refused in this way: of their log lines one
    is enough."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """A status as it goes out: `details` is a serialised `google.rpc.Status`. `reason` is empty
    for a prescribed one; `fault` says that it is the server's own."""

    reason: str
    code: StatusCode
    message: str
    details: bytes
    fault: bool = False


def reply_for(error: BaseException) -> ErrorReply:
    """The status, text and details that the caller gets. What is neither a refusal nor a deadline
    is our fault, and gets a fixed text that gives nothing of it away."""
    if isinstance(error, TokenServiceError):
        return _refusal(error)
    if isinstance(error, PrescribedStatus):
        status = Status(code=error.code.value[0], message=error.message)
        return ErrorReply("", error.code, error.message, status.SerializeToString())
    if isinstance(error, TimeoutError):
        return _refusal(TokenServiceError(Reason.DEADLINE_EXCEEDED, "the deadline ran out"))
    return _refusal(TokenServiceError(Reason.INTERNAL, "internal error"))


def _refusal(error: TokenServiceError) -> ErrorReply:
    code = STATUS[error.reason]
    status = Status(code=code.value[0], message=error.message)
    _attach(status, ErrorInfo(domain=DOMAIN, reason=error.reason.value))
    if error.field:
        violation = BadRequest.FieldViolation(field=error.field, description=error.message)
        _attach(status, BadRequest(field_violations=[violation]))
    retry_after = error.retry_after or RETRY_AFTER.get(error.reason)
    if retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(retry_after)
        _attach(status, RetryInfo(retry_delay=delay))
    fault = error.reason is Reason.INTERNAL
    return ErrorReply(error.reason.value, code, error.message, status.SerializeToString(), fault)


def unparsable() -> TokenServiceError:
    """The bytes received are not the method's request."""
    return invalid_field("", "the request could not be parsed")


def missing_request() -> TokenServiceError:
    """The client closed its side of the call without having sent a request."""
    return invalid_field("", "the request is missing")


def late_request() -> TokenServiceError:
    """The request did not come after its headers."""
    return TokenServiceError(Reason.DEADLINE_EXCEEDED, "the request did not arrive in time")


def too_large(limit: int) -> TokenServiceError:
    """The request is over its method's limit."""
    return invalid_field("", f"the request is larger than {limit} bytes")


_UNAUTHENTICATED = (Reason.CALLER_UNAUTHENTICATED, "the caller is not authenticated")


def unauthenticated() -> TokenServiceError:
    """The calling client was not recognised; one text for all causes."""
    return TokenServiceError(*_UNAUTHENTICATED)


def without_credentials() -> TokenServiceError:
    """The same for a caller that presented no credentials."""
    return RefusedAtTheDoor(*_UNAUTHENTICATED)


def shutting_down() -> TokenServiceError:
    """The server is stopping."""
    return TokenServiceError(Reason.SHUTTING_DOWN, "the server is shutting down")


def overloaded(retry_after: timedelta | None = None) -> TokenServiceError:
    """Too much work of this class is in flight, or too much of this caller's."""
    return RefusedAtTheDoor(
        Reason.OVERLOADED, "too much work is in flight", retry_after=retry_after
    )


def rate_limited(retry_after: timedelta) -> TokenServiceError:
    """The caller calls too often."""
    return RefusedAtTheDoor(Reason.RATE_LIMITED, "too many calls", retry_after=retry_after)


def no_health_to_watch() -> PrescribedStatus:
    """There is no room for one more watch of health.

    Clients that check health by watching take this one status as "no such check, go on without",
    and any other as "not healthy": a crowd of watchers must not take the others' channels away.
    """
    return PrescribedStatus(StatusCode.UNIMPLEMENTED, "too many watches; health is not watched")


def too_slow() -> TokenServiceError:
    """The client does not take what is streamed to it."""
    return TokenServiceError(Reason.OVERLOADED, "the client does not keep up")


def _attach(status: Status, detail: Message) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)
