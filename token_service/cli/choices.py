"""Words of the command line and the numbers of the API that they stand for."""

from collections.abc import Mapping
from enum import StrEnum

from tokenservice.v1 import types_pb2


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


class TokenWord(StrEnum):
    """One token of a set."""

    SESSION = "session"
    ACCESS = "access"


class AssuranceWord(StrEnum):
    """How strong a login is."""

    AAL1 = "aal1"
    AAL2 = "aal2"
    AAL3 = "aal3"


PLATFORMS: Mapping[PlatformWord, types_pb2.Platform.ValueType] = {
    PlatformWord.WEB: types_pb2.PLATFORM_WEB,
    PlatformWord.MOBILE: types_pb2.PLATFORM_MOBILE,
    PlatformWord.API: types_pb2.PLATFORM_API,
}

PURPOSES: Mapping[PurposeWord, types_pb2.KeyPurpose.ValueType] = {
    PurposeWord.SIGNING: types_pb2.KEY_PURPOSE_SIGNING,
    PurposeWord.MINT: types_pb2.KEY_PURPOSE_MINT,
    PurposeWord.PEPPER: types_pb2.KEY_PURPOSE_PEPPER,
    PurposeWord.OPAQUE: types_pb2.KEY_PURPOSE_OPAQUE,
}

CODE_KINDS: Mapping[CodeWord, types_pb2.CodeKind.ValueType] = {
    CodeWord.COUPON: types_pb2.CODE_KIND_COUPON,
    CodeWord.INVITATION: types_pb2.CODE_KIND_INVITATION,
    CodeWord.VERIFICATION: types_pb2.CODE_KIND_VERIFICATION,
}

_REASONS: Mapping[ReasonWord, types_pb2.RevocationReason.ValueType] = {
    ReasonWord.LOGOUT: types_pb2.REVOCATION_REASON_LOGOUT,
    ReasonWord.COMPROMISE: types_pb2.REVOCATION_REASON_COMPROMISE,
    ReasonWord.LOST_DEVICE: types_pb2.REVOCATION_REASON_LOST_DEVICE,
    ReasonWord.ADMINISTRATIVE: types_pb2.REVOCATION_REASON_ADMINISTRATIVE,
}


def reason_number(word: ReasonWord | None) -> types_pb2.RevocationReason.ValueType:
    """Return the API's reason; unspecified lets the service choose."""
    return types_pb2.REVOCATION_REASON_UNSPECIFIED if word is None else _REASONS[word]
