"""Where the names of the package are, which are loaded when they are first used."""

from __future__ import annotations

from typing import Final

MODULES: Final = {
    "_admin.client_values": (
        "ChangedClient Client ClientCredentials ClientPolicy ClientState PairingNetworkRule "
        "RegisteredClient RotatedSecret SessionLifetime"
    ),
    "_admin.clients": "ClientAdmin",
    "_admin.key_values": "ChangedKey Key KeyPurpose",
    "_admin.keys": "KeyAdmin",
    "_admin.messages": "policy_from_json policy_to_json",
    "_admin.sync_clients": "SyncClientAdmin SyncKeyAdmin SyncTrustClient SyncUserAdmin",
    "_admin.trust": "TrustClient",
    "_admin.trust_values": (
        "FeedDelta FeedEntry FeedHeartbeat FeedKey FeedMessage FeedSnapshot TrustView"
    ),
    "_admin.user_values": "ChangedRole ChangedUser LoginAttempts Role User UserState",
    "_admin.users": "UserAdmin",
    "_listing": "Listing Page",
    "_codes": "CodeClient CodeKind CodeRecord IssuedCode RedeemedCode SyncCodeClient",
    "_decisions.decision": "Decision OnStale Principal Source Validates ValidatesSync",
    "_decisions.events": "ValidatorEvents",
    "_errors": (
        "CredentialsInvalid FactorRequired FieldViolation PermissionDenied RateLimited SessionOver "
        "TokenServiceError Unreachable"
    ),
    "_outgoing.grpc_auth": "call_credentials",
    "_outgoing.httpx_auth": "BearerAuth",
    "_outgoing.token_source": "SyncTokenSource TokenSource",
    "_pairing.client": "PairingClient code_of",
    "_pairing.sync_client": "SyncPairingClient",
    "_pairing.values": (
        "PairingDirection PairingEndReason PairingKey PairingState PairingStatus Peer "
        "ScannedPairing ShownCode Side StartedPairing random_id"
    ),
    "_reason": "Reason",
    "_sessions.client": "TokenClient",
    "_sessions.exchange_ids": "DerivedExchangeId ExchangeIds random_exchange_id",
    "_sessions.file_token_store": "FileTokenStore",
    "_sessions.stored_session": "StoredSession",
    "_sessions.sync_client": "SyncStoredSession SyncTokenClient",
    "_sessions.token_store": (
        "MemoryTokenStore PendingExchange StoredTokens TokenStore TokenStoreError"
    ),
    "_sync.background_loop": "BackgroundLoop",
    "_sync.connection": "SyncConnection",
    "_sync.listing": "SyncListing",
    "_transport.connection": "Connection",
    "_transport.credentials": (
        "AccessTokenCredentials Anonymous CallerCredentials ClientCertificate ClientSecret "
        "ClientSecretFile"
    ),
    "_transport.tls": "Tls",
    "_validator.sync_validator": "SyncValidator",
    "_validator.validator": "Validator",
    "_values": "AccessToken Check Device Revoked Session TokenSet",
    "core": (
        "AccessFormat KeyState Platform RevocationReason TokenKind TokenScheme TrustEffect "
        "TrustEntryKind Verdict"
    ),
    "middleware": "PUBLIC CookieAuth Refusal Route RouteTable current_principal",
}
"""Which names each module has."""

MODULE_OF: Final = {name: module for module, names in MODULES.items() for name in names.split()}

NAMES: Final = tuple(sorted([*MODULE_OF, "qr", "__version__"]))
"""All names of the package; ``__init__.pyi`` tells them to type checkers and editors."""
