"""The token service from Python: validating tokens, logging in, pairing devices, one-time codes.

::

    from tokenservice import ClientSecret, Connection, TokenClient

Everything that programs need is here; each name loads its module when it is first used, and
importing this package loads none. Beside it are :mod:`tokenservice.middleware` (ASGI, FastAPI,
WSGI, gRPC), :mod:`tokenservice.testing`, :mod:`tokenservice.core` (token grammar and pure verdicts,
standard library only) and :mod:`tokenservice.v1` (the generated messages and stubs). Modules whose
name begins with an underscore may change in every version.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from tokenservice._exports import MODULE_OF

if TYPE_CHECKING:
    from tokenservice._admin.client_values import (
        ChangedClient,
        Client,
        ClientCredentials,
        ClientPolicy,
        ClientState,
        PairingNetworkRule,
        RegisteredClient,
        RotatedSecret,
        SessionLifetime,
    )
    from tokenservice._admin.clients import ClientAdmin
    from tokenservice._admin.key_values import ChangedKey, Key, KeyPurpose
    from tokenservice._admin.keys import KeyAdmin
    from tokenservice._admin.messages import policy_from_json, policy_to_json
    from tokenservice._admin.sync_clients import (
        SyncClientAdmin,
        SyncKeyAdmin,
        SyncTrustClient,
        SyncUserAdmin,
    )
    from tokenservice._admin.trust import TrustClient
    from tokenservice._admin.trust_values import (
        FeedDelta,
        FeedEntry,
        FeedHeartbeat,
        FeedKey,
        FeedMessage,
        FeedSnapshot,
        TrustView,
    )
    from tokenservice._admin.user_values import (
        ChangedRole,
        ChangedUser,
        LoginAttempts,
        Role,
        User,
        UserState,
    )
    from tokenservice._admin.users import UserAdmin
    from tokenservice._codes import (
        CodeClient,
        CodeKind,
        CodeRecord,
        IssuedCode,
        RedeemedCode,
        SyncCodeClient,
    )
    from tokenservice._decisions.decision import (
        Decision,
        OnStale,
        Principal,
        Source,
        Validates,
        ValidatesSync,
    )
    from tokenservice._decisions.events import ValidatorEvents
    from tokenservice._errors import (
        CredentialsInvalid,
        FactorRequired,
        FieldViolation,
        PermissionDenied,
        RateLimited,
        SessionOver,
        TokenServiceError,
        Unreachable,
    )
    from tokenservice._listing import Listing, Page
    from tokenservice._outgoing.grpc_auth import call_credentials
    from tokenservice._outgoing.httpx_auth import BearerAuth
    from tokenservice._outgoing.token_source import SyncTokenSource, TokenSource
    from tokenservice._pairing import qr
    from tokenservice._pairing.client import PairingClient, code_of
    from tokenservice._pairing.sync_client import SyncPairingClient
    from tokenservice._pairing.values import (
        PairingDirection,
        PairingEndReason,
        PairingKey,
        PairingState,
        PairingStatus,
        Peer,
        ScannedPairing,
        ShownCode,
        Side,
        StartedPairing,
        random_id,
    )
    from tokenservice._reason import Reason
    from tokenservice._sessions.client import TokenClient
    from tokenservice._sessions.exchange_ids import (
        DerivedExchangeId,
        ExchangeIds,
        random_exchange_id,
    )
    from tokenservice._sessions.file_token_store import FileTokenStore
    from tokenservice._sessions.stored_session import StoredSession
    from tokenservice._sessions.sync_client import SyncStoredSession, SyncTokenClient
    from tokenservice._sessions.token_store import (
        MemoryTokenStore,
        PendingExchange,
        StoredTokens,
        TokenStore,
        TokenStoreError,
    )
    from tokenservice._sync.background_loop import BackgroundLoop
    from tokenservice._sync.connection import SyncConnection
    from tokenservice._sync.listing import SyncListing
    from tokenservice._transport.connection import Connection
    from tokenservice._transport.credentials import (
        AccessTokenCredentials,
        Anonymous,
        CallerCredentials,
        ClientCertificate,
        ClientSecret,
        ClientSecretFile,
    )
    from tokenservice._transport.tls import Tls
    from tokenservice._validator.sync_validator import SyncValidator
    from tokenservice._validator.validator import Validator
    from tokenservice._values import (
        AccessToken,
        Check,
        Device,
        Revoked,
        Session,
        TokenSet,
    )
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
    from tokenservice.middleware import (
        PUBLIC,
        CookieAuth,
        Refusal,
        Route,
        RouteTable,
        current_principal,
    )

    __version__: str

__all__ = [
    "PUBLIC",
    "AccessFormat",
    "AccessToken",
    "AccessTokenCredentials",
    "Anonymous",
    "BackgroundLoop",
    "BearerAuth",
    "CallerCredentials",
    "ChangedClient",
    "ChangedKey",
    "ChangedRole",
    "ChangedUser",
    "Check",
    "Client",
    "ClientAdmin",
    "ClientCertificate",
    "ClientCredentials",
    "ClientPolicy",
    "ClientSecret",
    "ClientSecretFile",
    "ClientState",
    "CodeClient",
    "CodeKind",
    "CodeRecord",
    "Connection",
    "CookieAuth",
    "CredentialsInvalid",
    "Decision",
    "DerivedExchangeId",
    "Device",
    "ExchangeIds",
    "FactorRequired",
    "FeedDelta",
    "FeedEntry",
    "FeedHeartbeat",
    "FeedKey",
    "FeedMessage",
    "FeedSnapshot",
    "FieldViolation",
    "FileTokenStore",
    "IssuedCode",
    "Key",
    "KeyAdmin",
    "KeyPurpose",
    "KeyState",
    "Listing",
    "LoginAttempts",
    "MemoryTokenStore",
    "OnStale",
    "Page",
    "PairingClient",
    "PairingDirection",
    "PairingEndReason",
    "PairingKey",
    "PairingNetworkRule",
    "PairingState",
    "PairingStatus",
    "Peer",
    "PendingExchange",
    "PermissionDenied",
    "Platform",
    "Principal",
    "RateLimited",
    "Reason",
    "RedeemedCode",
    "Refusal",
    "RegisteredClient",
    "RevocationReason",
    "Revoked",
    "Role",
    "RotatedSecret",
    "Route",
    "RouteTable",
    "ScannedPairing",
    "Session",
    "SessionLifetime",
    "SessionOver",
    "ShownCode",
    "Side",
    "Source",
    "StartedPairing",
    "StoredSession",
    "StoredTokens",
    "SyncClientAdmin",
    "SyncCodeClient",
    "SyncConnection",
    "SyncKeyAdmin",
    "SyncListing",
    "SyncPairingClient",
    "SyncStoredSession",
    "SyncTokenClient",
    "SyncTokenSource",
    "SyncTrustClient",
    "SyncUserAdmin",
    "SyncValidator",
    "Tls",
    "TokenClient",
    "TokenKind",
    "TokenScheme",
    "TokenServiceError",
    "TokenSet",
    "TokenSource",
    "TokenStore",
    "TokenStoreError",
    "TrustClient",
    "TrustEffect",
    "TrustEntryKind",
    "TrustView",
    "Unreachable",
    "User",
    "UserAdmin",
    "UserState",
    "Validates",
    "ValidatesSync",
    "Validator",
    "ValidatorEvents",
    "Verdict",
    "__version__",
    "call_credentials",
    "code_of",
    "current_principal",
    "policy_from_json",
    "policy_to_json",
    "qr",
    "random_exchange_id",
    "random_id",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        value: object = version("token-service-client")
    elif name == "qr":
        value = import_module("tokenservice._pairing.qr")
    elif name in MODULE_OF:
        value = getattr(import_module(f"tokenservice.{MODULE_OF[name]}"), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next time, nobody asks here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
