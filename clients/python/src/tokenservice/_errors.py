"""What calls to the token service raise. Branch on the class or the reason, never on the text.

::

    try:
        tokens = await client.exchange(session_token)
    except SessionOver:             # expired, revoked or reused: send the person to the login
        ...
    except Unreachable:             # nobody answered; what was asked may have taken effect
        ...
    except TokenServiceError as error:
        if error.reason is Reason.TOKEN_SUPERSEDED:
            ...

No error holds a token, a password or a secret.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, cast

from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped] # has no stubs
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped] # has no stubs
from grpc import StatusCode

from tokenservice._reason import Reason
from tokenservice._times import span_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import grpc

DOMAIN: Final = "tokenservice"
DETAILS_KEY: Final = "grpc-status-details-bin"
REQUEST_ID_KEY: Final = "x-request-id"


class FieldViolation(NamedTuple):
    """A field of the request that was refused, by its path, and what is wrong with it."""

    field: str
    description: str


class TokenServiceError(Exception):
    """A call was refused, or failed.

    ``reason`` says why, and ``raw_reason`` the same as the service wrote it: that is the text of a
    reason that this package does not know, or the status code's name where there is no reason.
    ``retry_after`` is None where coming back will not help. ``request_id`` leads to the server's
    log, "" where nobody answered. ``targets`` are the servers that were tried, () where one
    answered; ``hint`` says what to look at when no connection comes about, "" where nothing is
    known.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        code: StatusCode,
        field_violations: tuple[FieldViolation, ...] = (),
        retry_after: timedelta | None = None,
        *,
        request_id: str = "",
    ) -> None:
        super().__init__(reason, message, code, field_violations, retry_after)
        self.reason = Reason(reason)
        self.raw_reason = str(reason) or code.name
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
        return f"{self.raw_reason}: {self.message or 'no details'}{fields}{tried}{hint}{request}"

    @property
    def for_now(self) -> bool:
        """Whether the same call, refused before anything was done, can be answered later."""
        return self.reason in _FOR_NOW


class SessionOver(TokenServiceError):
    """The presented token can never be exchanged again: expired, revoked, reused, or none of the
    service's. A new login is needed."""


class CredentialsInvalid(TokenServiceError):
    """User name, password or one-time code is wrong; which of them, nobody is told."""


class FactorRequired(TokenServiceError):
    """The login needs a second factor that the request does not have. Servers without second
    factors never say so."""


class RateLimited(TokenServiceError):
    """Too many calls, too many wrong credentials, or too much work in flight: come back after
    ``retry_after``."""


class PermissionDenied(TokenServiceError):
    """The calling client may not do this, not for this token, or not with these scopes or
    audiences. Nothing was consumed."""


class Unreachable(TokenServiceError):
    """Nobody answered in time, or the service could not (UNAVAILABLE, DEADLINE_EXCEEDED).

    Whether the call took effect is not known. It never means that a token is good.
    """


CLASSES: Final[Mapping[Reason, type[TokenServiceError]]] = {
    Reason.CALLER_UNAUTHENTICATED: TokenServiceError,
    Reason.PERMISSION_MISSING: PermissionDenied,
    Reason.CLIENT_MISMATCH: PermissionDenied,
    Reason.SCOPE_WIDENED: PermissionDenied,
    Reason.SCOPE_NOT_ALLOWED: PermissionDenied,
    Reason.AUDIENCE_NOT_ALLOWED: PermissionDenied,
    Reason.PLATFORM_NOT_ALLOWED: PermissionDenied,
    Reason.CREDENTIAL_NOT_ALLOWED: PermissionDenied,
    Reason.SELF_REVIEW: PermissionDenied,
    Reason.CREDENTIALS_INVALID: CredentialsInvalid,
    Reason.STEP_UP_REQUIRED: TokenServiceError,
    Reason.FACTOR_REQUIRED: FactorRequired,
    Reason.TOKEN_MALFORMED: SessionOver,
    Reason.TOKEN_UNKNOWN: SessionOver,
    Reason.TOKEN_EXPIRED: SessionOver,
    Reason.TOKEN_REVOKED: SessionOver,
    Reason.TOKEN_REUSED: SessionOver,
    Reason.TOKEN_SUPERSEDED: TokenServiceError,
    Reason.BINDING_MISMATCH: TokenServiceError,
    Reason.FIELD_INVALID: TokenServiceError,
    Reason.REVISION_UNKNOWN: TokenServiceError,
    Reason.CLIENT_NOT_FOUND: TokenServiceError,
    Reason.USER_NOT_FOUND: TokenServiceError,
    Reason.SESSION_NOT_FOUND: TokenServiceError,
    Reason.KEY_NOT_FOUND: TokenServiceError,
    Reason.ROLE_NOT_FOUND: TokenServiceError,
    Reason.USER_EXISTS: TokenServiceError,
    Reason.CLIENT_EXISTS: TokenServiceError,
    Reason.PAIRING_STATE: TokenServiceError,
    Reason.CHECK_NUMBER_WRONG: TokenServiceError,
    Reason.CLIENT_NOT_APPROVED: TokenServiceError,
    Reason.CLIENT_DISABLED: TokenServiceError,
    Reason.CLIENT_STATE: TokenServiceError,
    Reason.CREDENTIALS_COLLECTED: TokenServiceError,
    Reason.KEY_STATE: TokenServiceError,
    Reason.RATE_LIMITED: RateLimited,
    Reason.ACCOUNT_LOCKED: RateLimited,
    Reason.OVERLOADED: RateLimited,
    Reason.STORE_UNAVAILABLE: Unreachable,
    Reason.TRUST_STALE: Unreachable,
    Reason.SHUTTING_DOWN: Unreachable,
    Reason.DEADLINE_EXCEEDED: Unreachable,
    Reason.INTERNAL: TokenServiceError,
    Reason.METHOD_UNKNOWN: TokenServiceError,
    Reason.CODE_UNKNOWN: TokenServiceError,
    Reason.CODE_EXPIRED: TokenServiceError,
    Reason.CODE_NOT_YET_VALID: TokenServiceError,
    Reason.CODE_USED_UP: TokenServiceError,
    Reason.CODE_REVOKED: TokenServiceError,
    Reason.REQUEST_ID_USED: TokenServiceError,
    Reason.PAIRING_NOT_FOUND: TokenServiceError,
    Reason.PAIRING_NETWORK_MISMATCH: TokenServiceError,
}
"""What each reason is raised as. Reasons that are not here go by their status code."""

_BY_CODE: Final[Mapping[StatusCode, type[TokenServiceError]]] = {
    StatusCode.PERMISSION_DENIED: PermissionDenied,
    StatusCode.RESOURCE_EXHAUSTED: RateLimited,
    StatusCode.UNAVAILABLE: Unreachable,
    StatusCode.DEADLINE_EXCEEDED: Unreachable,
}
_BROKEN_OFF: Final = frozenset({StatusCode.CANCELLED, StatusCode.INTERNAL, StatusCode.UNKNOWN})
"""What proxies and broken connections end a call with; from the service itself, such a code
comes with a reason."""

_FOR_NOW: Final = frozenset({Reason.RATE_LIMITED, Reason.OVERLOADED, Reason.SHUTTING_DOWN})


def class_of(reason: str, code: StatusCode) -> type[TokenServiceError]:
    """Give what is raised for a reason, "" where the service gave none."""
    if not reason and code in _BROKEN_OFF:
        return Unreachable
    return CLASSES.get(Reason(reason)) or _BY_CODE.get(code, TokenServiceError)


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
    reason: str = info.reason if info.domain == DOMAIN else ""
    return class_of(reason, code)(
        reason,
        call.details() or "",
        code,
        fields,
        retry_after,
        request_id=request_id if isinstance(request_id, str) else "",
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


def _details(status: Status) -> tuple[ErrorInfo, tuple[FieldViolation, ...], timedelta | None]:
    info, bad_request, retry = ErrorInfo(), BadRequest(), RetryInfo()
    retry_after: timedelta | None = None
    for detail in status.details:
        try:
            detail.Unpack(info)
            detail.Unpack(bad_request)
            if detail.Unpack(retry):
                retry_after = max(timedelta(0), span_of(retry.retry_delay))
        except DecodeError:  # as above
            continue
    fields = tuple(FieldViolation(v.field, v.description) for v in bad_request.field_violations)
    return info, fields, retry_after
