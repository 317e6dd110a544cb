"""Single-use exchange: what a presented session token of generation n may become."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID

from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import SERVICE_AUDIENCE, ClientState
from token_service.domain.sessions.exchange_fingerprint import (
    Purpose,
    fingerprint,
    former_fingerprint,
)
from token_service.domain.sessions.grants import Grant, narrowed_grant
from token_service.domain.sessions.session import Generation, Session, SessionView


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """An authentic session token (its MAC was right), and what the caller asked with it.

    Without an `exchange_id` nothing can be replayed. `replay_within` is the caller's own replay
    window, where that is shorter than the policy's; None for the policy's.
    """

    lookup_id: UUID
    generation: int
    mint_kid: str
    client_id: str
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    purpose: Purpose = Purpose.EXCHANGE
    exchange_id: bytes = field(default=b"", repr=False)
    replay_within: timedelta | None = None
    confirmation: bytes = b""

    @property
    def fingerprint(self) -> bytes | None:
        """By which a repetition of this exchange is recognised; None: by nothing."""
        return self._fingerprint_as(self.purpose)

    @property
    def former_fingerprint(self) -> bytes | None:
        """The same, as nodes of the previous version make it and look for it."""
        return self._former_fingerprint_as(self.purpose)

    def made(self, session: Session, purpose: Purpose) -> bool:
        """Whether the session's current generation was made from this token under this
        exchange_id, for `purpose`."""
        new, former = session.exchange_fingerprint, session.exchange_hash
        return (new is not None and new == self._fingerprint_as(purpose)) or (
            former is not None and former == self._former_fingerprint_as(purpose)
        )

    def _fingerprint_as(self, purpose: Purpose) -> bytes | None:
        return fingerprint(
            purpose, self.exchange_id, self.lookup_id, self.generation, self.client_id
        )

    def _former_fingerprint_as(self, purpose: Purpose) -> bytes | None:
        return former_fingerprint(
            purpose,
            self.exchange_id,
            lookup_id=self.lookup_id,
            generation=self.generation,
            client_id=self.client_id,
            audiences=self.audiences,
            scopes=self.scopes,
        )


@dataclass(frozen=True, slots=True)
class Advance:
    """The token is current: the session moves to `generation` + 1."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Replay:
    """The same exchange again: the same successor again, with access tokens for what is asked
    for this time."""

    grant: Grant


@dataclass(frozen=True, slots=True)
class Superseded:
    """Another call of the same presenter moved the session on: it has the successor. Nothing is
    handed out and nothing is revoked."""


@dataclass(frozen=True, slots=True)
class Reused:
    """Two presenters of one token: the family is revoked. `alarm` when the generation lies ahead
    of the store (a restored database or a forged counter)."""

    alarm: bool


ExchangeDecision = Advance | Replay | Superseded | Reused


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


def superseded() -> TokenServiceError:
    """Another call of the caller has the successor. Nothing was consumed and nothing revoked."""
    return TokenServiceError(
        Reason.TOKEN_SUPERSEDED,
        "another call exchanged this token: repeat with the successor that it was given",
    )


def decide_exchange(
    view: SessionView, presented: Presented, now: datetime, *, was_current: bool = False
) -> ExchangeDecision:
    """What becomes of `presented`, given one consistent reading of its session.

    `was_current` says that an earlier reading within the same call found the token current: what
    moved the session since then raced this call, and is no evidence of a second presenter.

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
    if presented.generation > session.generation:
        return Reused(alarm=True)
    made_for = _made_for(view, presented, now)
    if made_for is presented.purpose:
        return Replay(_grant(view, presented))
    if made_for is not None or was_current:
        return Superseded()
    return Reused(alarm=False)


def _made_for(view: SessionView, presented: Presented, now: datetime) -> Purpose | None:
    """For which purpose this presenter's own exchange_id made the current generation from the
    presented token, while its replay window lasts; None: it did not, or that is over."""
    session = view.session
    window = view.policy.lifetimes_for(session.platform).replay_window
    if presented.replay_within is not None:
        window = min(window, presented.replay_within)
    if presented.generation != session.generation - 1 or now >= session.rotated_at + window:
        return None
    return next((purpose for purpose in Purpose if presented.made(session, purpose)), None)


def plain_grant(session: Generation, policy: ClientPolicy, presented: Presented) -> Grant:
    """The grant of an exchange when neither roles nor policy took anything away."""
    return _plain_grant(
        session.audiences,
        session.scopes,
        asked_audiences=presented.audiences,
        asked_scopes=presented.scopes,
        client_audiences=_client_audiences(session, policy),
        client_scopes=policy.scopes,
    )


@lru_cache(maxsize=1024)  # sessions by the thousand have the same grant
def _plain_grant(
    audiences: tuple[str, ...],
    scopes: tuple[str, ...],
    *,
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
        session=session.grant,
        client_audiences=_client_audiences(session, policy),
        client_scopes=policy.scopes,
        user_scopes=view.user_scopes,
    )


def _client_audiences(session: Session | Generation, policy: ClientPolicy) -> tuple[str, ...]:
    return own_audiences(policy) if session.user_id is None else policy.audiences
