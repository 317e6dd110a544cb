"""Which credentials a caller may bring, and for which clients' sessions."""

from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import CredentialKind, Platform


def require_may_bring(kind: CredentialKind, caller: Caller, client_id: str) -> None:
    """Raise unless the caller may log in with this kind of credential for a session of that client.

    A client brings its own credential for itself, and not with an access token
    (CREDENTIAL_NOT_ALLOWED); credentials of users also for those that it may issue for
    (CLIENT_MISMATCH).
    """
    own = kind is CredentialKind.CLIENT
    if own:
        caller.require_own_credential()
    if client_id != caller.client_id and (own or client_id not in caller.policy.may_issue_for):
        raise TokenServiceError(
            Reason.CLIENT_MISMATCH, "sessions of that client are not this caller's to issue"
        )


def require_accepted(kind: CredentialKind, client: Client, platform: Platform) -> None:
    """Raise CREDENTIAL_NOT_ALLOWED unless the client's sessions may begin with this kind."""
    if kind is CredentialKind.CLIENT:
        if platform is not Platform.API:
            raise TokenServiceError(
                Reason.CREDENTIAL_NOT_ALLOWED, "a client's own session has PLATFORM_API"
            )
    elif kind not in client.policy.credentials:
        raise TokenServiceError(
            Reason.CREDENTIAL_NOT_ALLOWED, f"{kind.name.lower()} login is for first-party clients"
        )
