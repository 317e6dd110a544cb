"""Kinds of token, key and client, and what each may do."""

from enum import Enum, IntEnum, IntFlag, StrEnum, auto

from tokenservice.core import (
    AccessFormat,
    KeyState,
    Platform,
    RevocationReason,
    TokenKind,
    TokenScheme,
    TrustEffect,
    TrustEntryKind,
    Verdict,
)
from tokenservice.core.facts import ACR_LEVELS

__all__ = [
    "ACR_LEVELS",
    "ADMINISTRATIVE",
    "SERVICE_AUDIENCE",
    "SESSION_KIND_OF_PLATFORM",
    "AccessFormat",
    "Amr",
    "ClientState",
    "CodeKind",
    "KeyPurpose",
    "KeyState",
    "PairingDirection",
    "PairingNetworkRule",
    "PairingState",
    "Permission",
    "Platform",
    "RevocationReason",
    "TokenKind",
    "TokenScheme",
    "TrustEffect",
    "TrustEntryKind",
    "Verdict",
]

SERVICE_AUDIENCE = "token-service"
"""Audience of access tokens with which a client calls this service itself."""

SESSION_KIND_OF_PLATFORM = {
    Platform.WEB: TokenKind.WEB_SESSION,
    Platform.MOBILE: TokenKind.MOBILE_SESSION,
    Platform.API: TokenKind.API_SESSION,
}


class Amr(IntFlag):
    """Authentication methods (RFC 8176) as the bit mask that `tokenservice.core` spells out."""

    PWD = 1
    OTP = 2
    APP = 4
    XDEV = 8


class Permission(StrEnum):
    """What a client may do; held in its policy."""

    TOKENS_ISSUE = "tokens.issue"
    TOKENS_EXCHANGE = "tokens.exchange"
    TOKENS_VALIDATE = "tokens.validate"
    TOKENS_REVOKE = "tokens.revoke"
    TOKENS_REVOKE_ANY = "tokens.revoke_any"
    PAIRING = "pairing"
    CODES = "codes"
    TRUST_WATCH = "trust.watch"
    SESSIONS_READ = "sessions.read"
    CLIENTS_REGISTER = "clients.register"
    ADMIN_CLIENTS = "admin.clients"
    ADMIN_USERS = "admin.users"
    ADMIN_KEYS = "admin.keys"
    AUDIT_READ = "audit.read"


ADMINISTRATIVE = frozenset(
    {
        Permission.TOKENS_REVOKE_ANY,
        Permission.ADMIN_CLIENTS,
        Permission.ADMIN_USERS,
        Permission.ADMIN_KEYS,
        Permission.AUDIT_READ,
    }
)
"""Power over what belongs to others: nobody passes on more of it than it holds itself."""


class CredentialKind(Enum):
    """What a login can begin with."""

    CLIENT = auto()
    PASSWORD = auto()


class ClientState(IntEnum):
    """Where a client stands between registration and retirement."""

    UNSPECIFIED = 0
    PENDING = 1
    APPROVED = 2
    ACTIVE = 3
    REJECTED = 4
    DISABLED = 5


class PairingDirection(IntEnum):
    """Which of two paired devices lets the other one in."""

    UNSPECIFIED = 0
    PAM = 1
    MAP = 2


class PairingState(IntEnum):
    """Where a pairing is in its life."""

    UNSPECIFIED = 0
    PENDING = 1
    SCANNED = 2
    APPROVED = 3
    COMPLETED = 4
    DENIED = 5
    EXPIRED = 6
    CANCELLED = 7


class PairingEndReason(IntEnum):
    """Who or what ended a pairing that was denied or cancelled."""

    UNSPECIFIED = 0
    STARTER = 1
    SCANNER = 2
    CHECK_NUMBER = 3
    SECOND_SCAN = 4


class PairingNetworkRule(IntEnum):
    """What becomes of a pairing whose devices are not on the same network; the strictest last."""

    UNSPECIFIED = 0
    WARN = 1
    DENY = 2


class KeyPurpose(IntEnum):
    """What a key is for."""

    UNSPECIFIED = 0
    SIGNING = 1
    MINT = 2
    PEPPER = 3
    OPAQUE = 4


class CodeKind(IntEnum):
    """What a one-time code of an application is for."""

    UNSPECIFIED = 0
    COUPON = 1
    INVITATION = 2
    VERIFICATION = 3
