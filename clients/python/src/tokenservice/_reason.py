"""Why the service refuses a call: names that programs branch on."""

from __future__ import annotations

from enum import StrEnum, auto


class Reason(StrEnum):
    """Why a call was refused, by the names of ``tokenservice.v1.ErrorReason`` without their prefix.

    That enum's comments say what each means. ``UNKNOWN`` is no name of the service's: the error
    came from a proxy or from the network, or from a newer server with a reason that this package
    does not know. Its text is then in ``TokenServiceError.raw_reason``, its kind in ``code``.
    """

    @staticmethod
    def _generate_next_value_(name: str, *_: object) -> str:
        return name

    UNKNOWN = auto()
    CALLER_UNAUTHENTICATED = auto()
    PERMISSION_MISSING = auto()
    CLIENT_MISMATCH = auto()
    SCOPE_WIDENED = auto()
    SCOPE_NOT_ALLOWED = auto()
    AUDIENCE_NOT_ALLOWED = auto()
    PLATFORM_NOT_ALLOWED = auto()
    CREDENTIAL_NOT_ALLOWED = auto()
    SELF_REVIEW = auto()
    CREDENTIALS_INVALID = auto()
    STEP_UP_REQUIRED = auto()
    FACTOR_REQUIRED = auto()
    """Of servers that have second factors."""
    TOKEN_MALFORMED = auto()
    TOKEN_UNKNOWN = auto()
    TOKEN_EXPIRED = auto()
    TOKEN_REVOKED = auto()
    TOKEN_REUSED = auto()
    TOKEN_SUPERSEDED = auto()
    BINDING_MISMATCH = auto()
    FIELD_INVALID = auto()
    REVISION_UNKNOWN = auto()
    CLIENT_NOT_FOUND = auto()
    USER_NOT_FOUND = auto()
    SESSION_NOT_FOUND = auto()
    KEY_NOT_FOUND = auto()
    ROLE_NOT_FOUND = auto()
    USER_EXISTS = auto()
    CLIENT_EXISTS = auto()
    PAIRING_STATE = auto()
    CHECK_NUMBER_WRONG = auto()
    CLIENT_NOT_APPROVED = auto()
    CLIENT_DISABLED = auto()
    CLIENT_STATE = auto()
    CREDENTIALS_COLLECTED = auto()
    KEY_STATE = auto()
    RATE_LIMITED = auto()
    ACCOUNT_LOCKED = auto()
    OVERLOADED = auto()
    STORE_UNAVAILABLE = auto()
    TRUST_STALE = auto()
    SHUTTING_DOWN = auto()
    DEADLINE_EXCEEDED = auto()
    INTERNAL = auto()
    METHOD_UNKNOWN = auto()
    CODE_UNKNOWN = auto()
    CODE_EXPIRED = auto()
    CODE_NOT_YET_VALID = auto()
    CODE_USED_UP = auto()
    CODE_REVOKED = auto()
    REQUEST_ID_USED = auto()
    PAIRING_NOT_FOUND = auto()
    PAIRING_NETWORK_MISMATCH = auto()

    @classmethod
    def _missing_(cls, value: object) -> Reason:  # noqa: ARG003 - whatever it is, it is not known
        return cls.UNKNOWN
