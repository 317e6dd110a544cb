"""Words of the command line. Those with a namesake among the enums of the client package have its
names, so `KeyPurpose[word.name]` is what a word stands for."""

from enum import StrEnum


class PlatformWord(StrEnum):
    """Where a session lives."""

    WEB = "web"
    MOBILE = "mobile"
    API = "api"


class ReasonWord(StrEnum):
    """Why something is revoked."""

    LOGOUT = "logout"
    COMPROMISE = "compromise"
    LOST_DEVICE = "lost-device"
    ADMINISTRATIVE = "administrative"


class PurposeWord(StrEnum):
    """What a key is for."""

    SIGNING = "signing"
    MINT = "mint"
    PEPPER = "pepper"
    OPAQUE = "opaque"


class CodeWord(StrEnum):
    """What a one-time code is for."""

    COUPON = "coupon"
    INVITATION = "invitation"
    VERIFICATION = "verification"


class StateWord(StrEnum):
    """Where a client is in its life."""

    PENDING = "pending"
    APPROVED = "approved"
    ACTIVE = "active"
    REJECTED = "rejected"
    DISABLED = "disabled"


class TokenWord(StrEnum):
    """One token of a set."""

    SESSION = "session"
    ACCESS = "access"


class AssuranceWord(StrEnum):
    """How strong a login is."""

    AAL1 = "aal1"
    AAL2 = "aal2"
    AAL3 = "aal3"
