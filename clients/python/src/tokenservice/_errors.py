"""What calls to the token service raise. Branch on the reason and the code, never on the text.

::

    try:
        tokens = await client.exchange(session_token)
    except TokenServiceError as error:
        if error.session_over:      # expired, revoked or reused: send the person to the login
            ...
        elif isinstance(error, Unreachable):
            ...                     # nobody answered; what was asked may have taken effect

No error holds a token, a password or a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped] # has no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # has no stubs
from grpc import StatusCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    import grpc

DOMAIN: Final = "tokenservice"
DETAILS_KEY: Final = "grpc-status-details-bin"
REQUEST_ID_KEY: Final = "x-request-id"

_SESSION_OVER: Final = frozenset(
    {"TOKEN_MALFORMED", "TOKEN_UNKNOWN", "TOKEN_EXPIRED", "TOKEN_REVOKED", "TOKEN_REUSED"}
)
_FOR_NOW: Final = frozenset({"RATE_LIMITED", "OVERLOADED", "SHUTTING_DOWN"})
_UNREACHABLE: Final = frozenset({StatusCode.UNAVAILABLE, StatusCode.DEADLINE_EXCEEDED})
_BROKEN_OFF: Final = frozenset({StatusCode.CANCELLED, StatusCode.INTERNAL, StatusCode.UNKNOWN})
"""What proxies and broken connections end a call with; from the service itself, such a code
comes with a reason."""


class FieldViolation(NamedTuple):
    """A field of the request that was refused, by its path, and what is wrong with it."""

    field: str
    description: str


class TokenServiceError(Exception):
    """A call was refused, or failed.

    ``reason`` is a name of ``tokenservice.v1.ErrorReason`` without its prefix, such as
    ``TOKEN_REUSED``, or that of the status code where the service gave none; a server may be
    newer and give one that this package does not know. ``retry_after`` is in seconds, None where
    coming back will not help. ``request_id`` leads to the server's log, "" where nobody answered.
    ``targets`` are the servers that were tried, () where one answered; ``hint`` says what to look
    at when no connection comes about, "" where nothing is known.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        code: StatusCode,
        field_violations: tuple[FieldViolation, ...] = (),
        retry_after: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(reason, message, code, field_violations, retry_after, request_id)
        self.reason = reason
        self.message = message
        self.code = code
        self.field_violations = field_violations
        self.retry_after = retry_after
        self.request_id = request_id
        self.targets: tuple[str, ...] = ()
        self.hint = ""

    def __str__(self) -> str:
        fields = "".join(f"; {field}: {what}" for field, what in self.field_violations if field)
        tried = f" (tried {', '.join(self.targets)})" if self.targets else ""
        hint = f"; {self.hint}" if self.hint else ""
        request = f" (request {self.request_id})" if self.request_id else ""
        return f"{self.reason}: {self.message or 'no details'}{fields}{tried}{hint}{request}"

    @property
    def session_over(self) -> bool:
        """Whether the presented token can never be exchanged again: a new login is needed."""
        return self.reason in _SESSION_OVER

    @property
    def for_now(self) -> bool:
        """Whether the same call, refused before anything was done, can be answered later."""
        return self.reason in _FOR_NOW


class Unreachable(TokenServiceError):  # noqa: N818 - a condition, not a fault
    """Nobody answered in time, or the service could not (UNAVAILABLE, DEADLINE_EXCEEDED).

    Whether the call took effect is not known. It never means that a token is good.
    """


class _FailedCall(Protocol):
    """What every error that a call raises can tell (grpc.Call and grpc.aio.AioRpcError)."""

    def code(self) -> StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Iterable[tuple[str, str | bytes]] | None: ...


def error_of(error: grpc.RpcError) -> TokenServiceError:
    """Read what a failed call says, of ``grpc`` or of ``grpc.aio``."""
    call = cast("_FailedCall", error)  # every error that a call raises is one
    code = call.code()
    # As pairs: older aio.Metadata looks like a mapping to dict() and is none.
    metadata = list(call.trailing_metadata() or ())
    request_id = _value(metadata, REQUEST_ID_KEY)
    status = _status(_value(metadata, DETAILS_KEY))
    info, fields, retry_after = _details(status)
    known = info.domain == DOMAIN
    unreachable = code in _UNREACHABLE or (code in _BROKEN_OFF and not known)
    kind = Unreachable if unreachable else TokenServiceError
    return kind(
        info.reason if known else code.name,
        call.details() or "",
        code,
        fields,
        retry_after,
        request_id if isinstance(request_id, str) else "",
    )


def _value(metadata: list[tuple[str, str | bytes]], wanted: str) -> str | bytes:
    return next((value for key, value in metadata if key == wanted), "")


def _status(details: str | bytes) -> Status:
    if not isinstance(details, bytes):
        return Status()
    try:
        return Status.FromString(details)
    except DecodeError:  # not from the service; the code and the text still say something
        return Status()


def _details(status: Status) -> tuple[ErrorInfo, tuple[FieldViolation, ...], float | None]:
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    retry_after: float | None = None
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad_request)
        if detail.Unpack(retry):
            retry_after = max(0.0, retry.retry_delay.ToTimedelta().total_seconds())
    fields = tuple(FieldViolation(v.field, v.description) for v in bad_request.field_violations)
    return info, fields, retry_after
