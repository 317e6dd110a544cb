"""The enums shared by the wire, the server and the validators.

The numbers equal those of the protobuf enums of ``tokenservice.v1``, so either side converts
with the constructor alone. ``UNSPECIFIED`` is never sent on purpose: whoever meets it refuses.
"""

from __future__ import annotations

from enum import IntEnum


class TokenKind(IntEnum):
    """What a token is for. Kinds never mix: one presented for another is refused."""

    UNSPECIFIED = 0
    WEB_SESSION = 1
    MOBILE_SESSION = 2
    API_SESSION = 3
    ACCESS = 4
    ROLLING = 5


class Platform(IntEnum):
    """Where a session lives; picks its lifetimes."""

    UNSPECIFIED = 0
    WEB = 1
    MOBILE = 2
    API = 3


class Verdict(IntEnum):
    """The answer to "may this token do that, now?"."""

    UNSPECIFIED = 0
    ACTIVE = 1
    MALFORMED = 2
    UNKNOWN = 3
    EXPIRED = 4
    REVOKED = 5
    WRONG_KIND = 6
    WRONG_AUDIENCE = 7
    BINDING_MISMATCH = 8
    INSUFFICIENT_SCOPE = 9
    STEP_UP_REQUIRED = 10


class AccessFormat(IntEnum):
    """How access tokens of a client look on the wire."""

    UNSPECIFIED = 0
    JWT = 1
    OPAQUE = 2


class TokenScheme(IntEnum):
    """Session and access tokens apart, or one rolling token for both."""

    UNSPECIFIED = 0
    SESSION_ACCESS = 1
    ROLLING = 2


class TrustEntryKind(IntEnum):
    """What an entry of the trust log is about."""

    UNSPECIFIED = 0
    TOKEN = 1
    SESSION = 2
    SUBJECT = 3
    SUBJECT_DEVICE = 4
    CLIENT = 5
    KEY = 6
    EVERYTHING = 7


class TrustEffect(IntEnum):
    """What an entry does: REVOKE ends sessions too, REISSUE only ends access tokens."""

    UNSPECIFIED = 0
    REVOKE = 1
    REISSUE = 2


class RevocationReason(IntEnum):
    """Why something was revoked."""

    UNSPECIFIED = 0
    LOGOUT = 1
    COMPROMISE = 2
    LOST_DEVICE = 3
    ADMINISTRATIVE = 4
    PASSWORD_CHANGED = 5
    USER_DISABLED = 6
    CLIENT_DISABLED = 7
    TOKEN_REUSED = 8
    POLICY_NARROWED = 9
    KEY_COMPROMISED = 10


class KeyState(IntEnum):
    """Life of a key: published before it signs, verifiable until its last token is dead."""

    UNSPECIFIED = 0
    PENDING = 1
    ACTIVE = 2
    RETIRING = 3
    RETIRED = 4
    COMPROMISED = 5
