"""Opening a session: one decision, whatever the way in."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from token_service.domain.clients.client import Client
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError, invalid_field
from token_service.domain.kinds import (
    SERVICE_AUDIENCE,
    SESSION_KIND_OF_PLATFORM,
    ClientState,
    Platform,
    TokenKind,
    TokenScheme,
)
from token_service.domain.login.authenticated import Authenticated
from token_service.domain.sessions.grants import Grant, initial_grant
from token_service.domain.sessions.session import UNKNOWN_DEVICE, Device, Session
from tokenservice.core.limits import MAX_AUDIENCES, MAX_SCOPES


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for: without `audiences` or `scopes` all that are allowed, but for the rolling
    scheme, where it is the client's first audience."""

    platform: Platform
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    device: Device = UNKNOWN_DEVICE
    confirmation: bytes = b""


@dataclass(frozen=True, slots=True)
class NewIds:
    """Two random ids, and the mint key of the first generation."""

    session_id: UUID
    lookup_id: UUID
    mint_kid: str


def require_may_open(client: Client, platform: Platform) -> None:
    """Raise CLIENT_DISABLED, CLIENT_NOT_APPROVED or PLATFORM_NOT_ALLOWED unless the client can
    have sessions for `platform`."""
    if client.state is ClientState.DISABLED:
        raise TokenServiceError(Reason.CLIENT_DISABLED, "the client is disabled")
    if client.state is not ClientState.ACTIVE:
        raise TokenServiceError(Reason.CLIENT_NOT_APPROVED, "the client is not approved")
    if platform not in client.policy.platforms:
        raise TokenServiceError(Reason.PLATFORM_NOT_ALLOWED, "platform not allowed")


def open_session(
    client: Client, wanted: Wanted, who: Authenticated, ids: NewIds, now: datetime
) -> Session:
    """The new session, as it is to be written; its first tokens are for `Session.grant`.

    Raises what `require_may_open` and `initial_grant` raise, and FIELD_INVALID for what does not
    fit into one session.
    """
    require_may_open(client, wanted.platform)
    policy = client.policy
    rolling = policy.scheme is TokenScheme.ROLLING
    grant = _grant(policy, wanted, who, rolling=rolling)
    lifetimes = policy.lifetimes_for(wanted.platform)
    absolute = now + lifetimes.absolute
    return Session(
        session_id=ids.session_id,
        lookup_id=ids.lookup_id,
        kind=TokenKind.ROLLING if rolling else SESSION_KIND_OF_PLATFORM[wanted.platform],
        platform=wanted.platform,
        client_id=client.client_id,
        user_id=who.user_id,
        generation=1,
        mint_kid=ids.mint_kid,
        exchange_hash=None,
        rev=0,
        acr=who.acr,
        amr=who.amr,
        auth_time=who.auth_time,
        created_at=now,
        rotated_at=now,
        last_active_at=now,
        idle_seconds=int(lifetimes.idle.total_seconds()),
        idle_expires_at=min(now + lifetimes.idle, absolute),
        absolute_expires_at=absolute,
        audiences=grant.audiences,
        scopes=grant.scopes,
        roles=who.roles,
        device=wanted.device,
        confirmation=wanted.confirmation,
    )


def _grant(policy: ClientPolicy, wanted: Wanted, who: Authenticated, *, rolling: bool) -> Grant:
    if who.user_id is not None:
        allowed = user_audiences(policy)
    elif SERVICE_AUDIENCE in wanted.audiences:
        allowed = (*policy.audiences, SERVICE_AUDIENCE)
    else:
        allowed = policy.audiences
    grant = initial_grant(
        # A rolling token has one audience: the client's first, where none was asked for.
        wanted.audiences or (allowed[:1] if rolling else ()),
        wanted.scopes,
        client_audiences=allowed,
        client_scopes=policy.scopes,
        user_scopes=who.scopes,
    )
    if rolling and len(grant.audiences) != 1:
        raise invalid_field("audiences", "a rolling token has exactly one audience")
    if len(grant.scopes) > MAX_SCOPES or len(grant.audiences) > MAX_AUDIENCES:
        raise invalid_field("scopes", "too many scopes or audiences for one session")
    return grant


def user_audiences(policy: ClientPolicy) -> tuple[str, ...]:
    """The audiences of users' sessions: this service itself is for clients alone."""
    return tuple(name for name in policy.audiences if name != SERVICE_AUDIENCE)
