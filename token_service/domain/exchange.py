"""Single-use exchange: what a presented session token of generation n may become."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.grants import Grant, narrowed_grant
from token_service.domain.kinds import SERVICE_AUDIENCE, ClientState, TokenKind
from token_service.domain.policy import ClientPolicy
from token_service.domain.records import Generation, Session, SessionView


@dataclass(frozen=True, slots=True)
class Presented:
    """An authentic session token (its MAC was right), and what the caller asked with it.

    `request_hash` is None when the caller sent no exchange_id: then nothing can be replayed.
    """

    lookup_id: UUID
    generation: int
    mint_kid: str
    client_id: str
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    request_hash: bytes | None = None
    confirmation: bytes = b""


@dataclass(frozen=True, slots=True)
class Advance:
    """The token is current: the session moves to `generation` + 1."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Replay:
    """The same request again after a lost reply: the same successor again."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Reused:
    """Two presenters of one token: the family is revoked. `alarm` when the generation lies ahead
    of the store (a restored database or a forged counter)."""

    alarm: bool


ExchangeDecision = Advance | Replay | Reused


def request_hash(
    purpose: str,
    exchange_id: bytes,
    lookup_id: UUID,
    generation: int,
    client_id: str,
    audiences: Sequence[str],
    scopes: Sequence[str],
) -> bytes | None:
    """The fingerprint by which a repeated exchange is recognised; None without an exchange_id.

    It covers the token, the client and the audience and scope *sets*, never device or address,
    which change between a phone's retries.
    """
    if not exchange_id:
        return None
    digest = hashlib.sha256(b"tokenservice exchange v1\0")
    fields = [
        purpose.encode(),
        exchange_id,
        lookup_id.bytes,
        generation.to_bytes(4, "big"),
        client_id.encode(),
        "\0".join(sorted(set(audiences))).encode(),
        "\0".join(sorted(set(scopes))).encode(),
    ]
    for part in fields:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


def require_live(view: SessionView, now: datetime) -> None:
    """Raise TOKEN_REVOKED or TOKEN_EXPIRED unless the session can still be used."""
    session = view.session
    floor = max(view.client_valid_rev, view.global_valid_rev, view.user_valid_rev)
    revoked = (
        session.revoked_at is not None
        or view.mint_compromised
        or view.user_gone
        or view.user_disabled
        or view.client_state is not ClientState.ACTIVE
        or session.rev < floor
    )
    if revoked:
        raise TokenServiceError(Reason.TOKEN_REVOKED, "the session was revoked")
    if now >= session.idle_expires_at or now >= session.absolute_expires_at:
        raise TokenServiceError(Reason.TOKEN_EXPIRED, "the session has expired")


def require_owner(view: SessionView, presented: Presented) -> None:
    """Raise unless the calling client, and the certificate of a bound session, are the right
    ones. Nothing is touched by a foreign caller."""
    if view.session.client_id != presented.client_id:
        raise TokenServiceError(Reason.CLIENT_MISMATCH, "the token is another client's")
    bound = view.session.confirmation
    if bound and bound != presented.confirmation:
        raise TokenServiceError(
            Reason.BINDING_MISMATCH, "the session is bound to another certificate"
        )


def decide_exchange(view: SessionView, presented: Presented, now: datetime) -> ExchangeDecision:
    """What becomes of `presented`, given one consistent reading of its session.

    Raises TokenServiceError for refusals that consume nothing: CLIENT_MISMATCH, BINDING_MISMATCH,
    TOKEN_REVOKED, TOKEN_EXPIRED, SCOPE_WIDENED, AUDIENCE_NOT_ALLOWED, SCOPE_NOT_ALLOWED.
    """
    require_owner(view, presented)
    require_live(view, now)
    session = view.session
    if presented.generation == session.generation:
        if presented.mint_kid != session.mint_kid:
            return Reused(alarm=True)
        return Advance(_grant(view, presented))
    if is_replay(view, presented, now):
        return Replay(_grant(view, presented))
    return Reused(alarm=presented.generation > session.generation)


def is_replay(view: SessionView, presented: Presented, now: datetime) -> bool:
    """True for the same request again, while its successor is still the current one."""
    session = view.session
    window = view.policy.lifetimes_for(session.platform).replay_window
    return (
        presented.generation == session.generation - 1
        and presented.request_hash is not None
        and presented.request_hash == session.exchange_hash
        and now < session.rotated_at + window
    )


def plain_grant(session: Generation, policy: ClientPolicy, presented: Presented) -> Grant:
    """The grant of an exchange when neither roles nor policy took anything away."""
    return _plain_grant(
        session.audiences,
        session.scopes,
        presented.audiences,
        presented.scopes,
        _client_audiences(session, policy),
        policy.scopes,
    )


@lru_cache(maxsize=1024)  # sessions by the thousand have the same grant
def _plain_grant(
    audiences: tuple[str, ...],
    scopes: tuple[str, ...],
    asked_audiences: tuple[str, ...],
    asked_scopes: tuple[str, ...],
    client_audiences: tuple[str, ...],
    client_scopes: frozenset[str],
) -> Grant:
    return narrowed_grant(
        asked_audiences,
        asked_scopes,
        session=Grant(audiences, scopes),
        client_audiences=client_audiences,
        client_scopes=client_scopes,
        user_scopes=None,
    )


def own_audiences(policy: ClientPolicy) -> tuple[str, ...]:
    """The audiences of a client's own sessions: it may call this service itself, too."""
    return (*policy.audiences, SERVICE_AUDIENCE)


def _grant(view: SessionView, presented: Presented) -> Grant:
    session, policy = view.session, view.policy
    return narrowed_grant(
        presented.audiences,
        presented.scopes,
        session=Grant(session.audiences, session.scopes),
        client_audiences=_client_audiences(session, policy),
        client_scopes=policy.scopes,
        user_scopes=view.user_scopes,
    )


def _client_audiences(session: Session | Generation, policy: ClientPolicy) -> tuple[str, ...]:
    own = session.kind is TokenKind.API_SESSION and session.user_id is None
    return own_audiences(policy) if own else policy.audiences
