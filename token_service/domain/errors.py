"""What can go wrong, as the callers of the service see it.

The names are those of `tokenservice.v1.ErrorReason` without its prefix; `rpc.errors` is the one
place that maps a reason to a gRPC status.
"""

from datetime import timedelta
from enum import StrEnum, auto


class Reason(StrEnum):
    """Why a call was refused. The value is the wire name in `google.rpc.ErrorInfo.reason`."""

    @staticmethod
    def _generate_next_value_(name: str, *_: object) -> str:
        return name

    CALLER_UNAUTHENTICATED = auto()
    PERMISSION_MISSING = auto()
    CLIENT_MISMATCH = auto()
    SCOPE_WIDENED = auto()
    SCOPE_NOT_ALLOWED = auto()
    AUDIENCE_NOT_ALLOWED = auto()
    PLATFORM_NOT_ALLOWED = auto()
    CREDENTIAL_NOT_ALLOWED = auto()
    BINDING_MISMATCH = auto()
    CREDENTIALS_INVALID = auto()
    STEP_UP_REQUIRED = auto()
    TOKEN_MALFORMED = auto()
    TOKEN_UNKNOWN = auto()
    TOKEN_EXPIRED = auto()
    TOKEN_REVOKED = auto()
    TOKEN_REUSED = auto()
    TOKEN_SUPERSEDED = auto()
    FIELD_INVALID = auto()
    REVISION_UNKNOWN = auto()
    CLIENT_NOT_APPROVED = auto()
    CLIENT_DISABLED = auto()
    CLIENT_STATE = auto()
    CREDENTIALS_COLLECTED = auto()
    SELF_REVIEW = auto()
    KEY_STATE = auto()
    CLIENT_NOT_FOUND = auto()
    USER_NOT_FOUND = auto()
    SESSION_NOT_FOUND = auto()
    KEY_NOT_FOUND = auto()
    ROLE_NOT_FOUND = auto()
    USER_EXISTS = auto()
    CLIENT_EXISTS = auto()
    RATE_LIMITED = auto()
    ACCOUNT_LOCKED = auto()
    OVERLOADED = auto()
    STORE_UNAVAILABLE = auto()
    TRUST_STALE = auto()
    SHUTTING_DOWN = auto()
    DEADLINE_EXCEEDED = auto()
    METHOD_UNKNOWN = auto()
    PAIRING_NOT_FOUND = auto()
    PAIRING_STATE = auto()
    PAIRING_NETWORK_MISMATCH = auto()
    CHECK_NUMBER_WRONG = auto()
    INTERNAL = auto()

    CODE_UNKNOWN = auto()
    CODE_EXPIRED = auto()
    CODE_NOT_YET_VALID = auto()
    CODE_USED_UP = auto()
    CODE_REVOKED = auto()
    REQUEST_ID_USED = auto()


class TokenServiceError(Exception):
    """A refusal. `message` is shown to the caller and never holds a secret.

    `field` is the request's field path for FIELD_INVALID (e.g. `requests[3].audience`);
    `retry_after` becomes `google.rpc.RetryInfo`. `about` goes into the log line of the call and is
    not told to the caller; it holds no secret either.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        field: str = "",
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.field = field
        self.retry_after = retry_after
        self.about: dict[str, str] = {}


def invalid_field(field: str, message: str) -> TokenServiceError:
    """The request's own field `field` cannot be used."""
    return TokenServiceError(Reason.FIELD_INVALID, message, field=field)


def store_unavailable(retry_after: timedelta = timedelta(seconds=1)) -> TokenServiceError:
    """A store did not answer in time; the outcome of a write is unknown, not failed."""
    return TokenServiceError(
        Reason.STORE_UNAVAILABLE, "a store is not available", retry_after=retry_after
    )
