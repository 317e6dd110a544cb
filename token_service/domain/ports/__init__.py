"""What the use cases need from the outside. Adapters implement these; `app` wires them.

Every store method raises STORE_UNAVAILABLE when the store does not answer in time. All times are
aware UTC datetimes.
"""

from token_service.domain.keys.key import KeyChange
from token_service.domain.ports.clients import ClientStore
from token_service.domain.ports.codes import CodeSecrets, CodeStore, RedeemAnswer
from token_service.domain.ports.crypto import (
    AccessTokens,
    AuthenticSession,
    CoarseLimiter,
    HeldMintKey,
    KeyMaterial,
    PasswordHasher,
    Secrets,
    SessionMint,
    TokenSealer,
    TokenSigner,
)
from token_service.domain.ports.keys import KeyStore
from token_service.domain.ports.login import AttemptBucket, Attempts, LoginLocks, Standing
from token_service.domain.ports.pairing import (
    CodeTombstone,
    CollectGuard,
    PairingMove,
    PairingSecrets,
    PairingStore,
    PairingWakeups,
    PairingWatcher,
    PendingPairings,
)
from token_service.domain.ports.sessions import (
    ActivityRecord,
    ClientTerms,
    Inserted,
    IssueGuard,
    PlainAdvance,
    SessionAdvance,
    SessionFacts,
    SessionPage,
    SessionStore,
)
from token_service.domain.ports.system import Clock, Durability, Randomness
from token_service.domain.ports.trust import ActivityMark, ActivityMarks, RevocationStore, Trust
from token_service.domain.ports.users import UserStore

__all__ = [
    "AccessTokens",
    "ActivityMark",
    "ActivityMarks",
    "ActivityRecord",
    "AttemptBucket",
    "Attempts",
    "AuthenticSession",
    "ClientStore",
    "ClientTerms",
    "Clock",
    "CoarseLimiter",
    "CodeSecrets",
    "CodeStore",
    "CodeTombstone",
    "CollectGuard",
    "Durability",
    "HeldMintKey",
    "Inserted",
    "IssueGuard",
    "KeyChange",
    "KeyMaterial",
    "KeyStore",
    "LoginLocks",
    "PairingMove",
    "PairingSecrets",
    "PairingStore",
    "PairingWakeups",
    "PairingWatcher",
    "PasswordHasher",
    "PendingPairings",
    "PlainAdvance",
    "Randomness",
    "RedeemAnswer",
    "RevocationStore",
    "Secrets",
    "SessionAdvance",
    "SessionFacts",
    "SessionMint",
    "SessionPage",
    "SessionStore",
    "Standing",
    "TokenSealer",
    "TokenSigner",
    "Trust",
    "UserStore",
]
