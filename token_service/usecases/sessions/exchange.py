"""Exchange: a session token becomes its successor, exactly once."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from token_service.domain.clients.caller import Caller
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission, RevocationReason, TrustEntryKind
from token_service.domain.login.authenticated import Authenticated
from token_service.domain.ports import (
    ClientTerms,
    Clock,
    Durability,
    PlainAdvance,
    RevocationStore,
    SessionAdvance,
    SessionMint,
    SessionStore,
    Trust,
)
from token_service.domain.sessions.exchange import (
    Advance,
    Presented,
    Replay,
    Reused,
    Superseded,
    decide_exchange,
    own_audiences,
    plain_grant,
    superseded,
)
from token_service.domain.sessions.exchange_fingerprint import Purpose
from token_service.domain.sessions.grants import Grant
from token_service.domain.sessions.session import UNKNOWN_DEVICE, Device, Session, SessionView
from token_service.domain.trust.revocation import Revocation
from token_service.usecases.clients.cache import MAX_CLIENTS, ClientCache
from token_service.usecases.shielding import Shield
from token_service.usecases.tokens.token_set import IssuedTokens, TokenSetMaker
from tokenservice.core.bounded_cache import put_bounded

_TRIES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRequest:
    """`exchange_id` is 16 bytes, the same for all calls that are one exchange; empty: a lost reply
    cannot be asked for again. `replay_within` shortens the policy's replay window for this call.
    Audiences and scopes only narrow."""

    token: str = field(repr=False)
    exchange_id: bytes = field(default=b"", repr=False)
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    device: Device = UNKNOWN_DEVICE
    confirmation: bytes = b""
    replay_within: timedelta | None = None


@dataclass(frozen=True, slots=True)
class ExchangeOutcome:
    """The successor; `replayed` when it was handed out before."""

    tokens: IssuedTokens
    replayed: bool


class SessionRotation:
    """The steps that Exchange and Reauthenticate share: authenticate the token, decide on one
    consistent reading, write conditionally, and revoke the family on reuse."""

    def __init__(
        self,
        *,
        client_cache: ClientCache,
        mint: SessionMint,
        sessions: SessionStore,
        revocations: RevocationStore,
        trust: Trust,
        maker: TokenSetMaker,
        durability: Durability,
        clock: Clock,
    ) -> None:
        self._client_cache = client_cache
        self._mint = mint
        self._sessions = sessions
        self._revocations = revocations
        self._trust = trust
        self._maker = maker
        self._durability = durability
        self._clock = clock
        self._known_terms: dict[str, ClientTerms] = {}

    def present(self, caller: Caller, request: ExchangeRequest, purpose: Purpose) -> Presented:
        """The authentic token and what is asked with it. Raises TOKEN_MALFORMED or
        TOKEN_UNKNOWN without touching a store."""
        token = self._mint.authenticate(request.token)
        return Presented(
            lookup_id=token.lookup_id,
            generation=token.generation,
            mint_kid=token.mint_kid,
            client_id=caller.client_id,
            audiences=request.audiences,
            scopes=request.scopes,
            purpose=purpose,
            exchange_id=request.exchange_id,
            replay_within=request.replay_within,
            confirmation=request.confirmation,
        )

    async def decide(
        self, caller: Caller, presented: Presented, *, was_current: bool = False
    ) -> tuple[SessionView, Advance | Replay]:
        """Read and decide. On reuse the family's revocation is committed, then TOKEN_REUSED is
        raised. Raises TOKEN_SUPERSEDED, with nothing touched."""
        view = await self._sessions.view(presented.lookup_id)
        if view is None:
            raise TokenServiceError(Reason.TOKEN_EXPIRED, "the session is gone")
        decision = decide_exchange(view, presented, self._clock.now(), was_current=was_current)
        if isinstance(decision, Superseded):
            raise superseded()
        if isinstance(decision, Reused):
            await self._revoke_family(caller, view.session, presented, decision)
            raise TokenServiceError(
                Reason.TOKEN_REUSED, "the token was exchanged before; the session is revoked"
            )
        return view, decision

    async def advance(
        self,
        caller: Caller,
        view: SessionView,
        presented: Presented,
        grant: Grant,
        fresh: Authenticated | None = None,
    ) -> IssuedTokens | None:
        """Consume the token. None: something changed since `view` was read, decide again."""
        now = self._clock.now()
        session = self._successor(view, presented, fresh, now)
        change = SessionAdvance(
            session_id=session.session_id,
            from_generation=presented.generation,
            mint_kid=session.mint_kid,
            exchange_hash=session.exchange_hash,
            exchange_fingerprint=session.exchange_fingerprint,
            at=now,
            idle_seconds=session.idle_seconds,
            idle_expires_at=session.idle_expires_at,
            roles=session.roles,
            config_version=view.config_version,
            user_version=view.user_version,
            auth_time=fresh.auth_time if fresh else None,
            acr=fresh.acr if fresh else None,
            amr=fresh.amr if fresh else None,
        )
        action = "session.reauthenticate" if fresh else "session.exchange"
        audit = caller.audit(
            now,
            action,
            target=str(session.session_id),
            subject=session.subject,
            details=f"generation={session.generation}",
        )
        keys = self._maker.ready(session.current, grant, view.policy)
        rev = await self._sessions.advance(change, audit)
        if rev is None:
            return None
        return self._maker.make(
            keys, session.current, grant=grant, policy=view.policy, rev=rev, now=now
        )

    async def advance_plainly(self, caller: Caller, presented: Presented) -> IssuedTokens | None:
        """The common exchange in one round trip. None: decide."""
        client, version = await self._client_cache.require(caller.client_id)
        policy = client.policy
        keys = self._maker.ready_for_any(policy)
        if keys is None:
            return None
        now = self._clock.now()
        change = PlainAdvance(
            terms=self._terms(caller.client_id, version, policy),
            lookup_id=presented.lookup_id,
            generation=presented.generation,
            presented_mint_kid=presented.mint_kid,
            confirmation=presented.confirmation,
            audiences=presented.audiences,
            scopes=presented.scopes,
            mint_kid=keys.mint.kid,
            exchange_hash=presented.former_fingerprint,
            exchange_fingerprint=presented.fingerprint,
            at=now,
        )
        audit = caller.audit(now, "session.exchange")
        advanced = await self._sessions.advance_plainly(change, audit)
        if advanced is None:
            return None
        made, rev = advanced
        grant = plain_grant(made, policy, presented)
        return self._maker.make(
            keys, made, grant=grant, policy=policy, rev=rev, now=made.rotated_at
        )

    def _terms(self, client_id: str, version: int, policy: ClientPolicy) -> ClientTerms:
        """Worked out once for each version of a client's policy."""
        known = self._known_terms.get(client_id)
        if known is not None and known.config_version == version:
            return known
        terms = ClientTerms(
            client_id=client_id,
            config_version=version,
            audiences=own_audiences(policy),
            scopes=tuple(policy.scopes),
            idle_seconds=policy.idle_seconds,
        )
        put_bounded(self._known_terms, client_id, terms, MAX_CLIENTS)
        return terms

    async def replay(self, view: SessionView, grant: Grant) -> IssuedTokens:
        """The same successor again, once a failover cannot undo the exchange that made it. Raises
        STORE_UNAVAILABLE."""
        made = view.session
        done = (made.session_id, made.generation, made.exchange_fingerprint or made.exchange_hash)
        await self._durability.confirm(done)
        session, policy = view.session.current, view.policy
        keys = self._maker.ready(session, grant, policy)
        return self._maker.make(
            keys, session, grant=grant, policy=policy, rev=view.head_revision, now=self._clock.now()
        )

    def _successor(
        self,
        view: SessionView,
        presented: Presented,
        fresh: Authenticated | None,
        now: datetime,
    ) -> Session:
        session = view.session
        idle = view.policy.lifetimes_for(session.platform).idle
        successor = replace(
            session,
            generation=session.generation + 1,
            mint_kid=self._mint.active().kid,
            exchange_hash=presented.former_fingerprint,
            exchange_fingerprint=presented.fingerprint,
            rotated_at=now,
            last_active_at=now,
            idle_seconds=int(idle.total_seconds()),
            idle_expires_at=min(now + idle, session.absolute_expires_at),
            roles=view.user_roles,
        )
        if fresh is None:
            return successor
        return replace(successor, auth_time=fresh.auth_time, acr=fresh.acr, amr=fresh.amr)

    async def _revoke_family(
        self, caller: Caller, session: Session, presented: Presented, decision: Reused
    ) -> None:
        now = self._clock.now()
        audit = caller.audit(
            now,
            "session.reuse",
            "alarm" if decision.alarm else "revoked",
            target=str(session.session_id),
            subject=session.subject,
            details=f"presented={presented.generation} current={session.generation}",
        )
        revoked = await self._revocations.revoke(
            Revocation(
                kind=TrustEntryKind.SESSION,
                id=str(session.session_id),
                reason=RevocationReason.TOKEN_REUSED,
                audit=audit,
            ),
            now,
        )
        await self._trust.reach(revoked.revision)


class Exchange:
    """Raises the reasons of `decide_exchange`, TOKEN_MALFORMED, TOKEN_UNKNOWN, TOKEN_REUSED,
    TOKEN_SUPERSEDED, and what `TokenSetMaker.ready` raises; nothing is consumed then."""

    def __init__(self, rotation: SessionRotation, shield: Shield) -> None:
        self._rotation = rotation
        self._shield = shield

    async def __call__(self, caller: Caller, request: ExchangeRequest) -> ExchangeOutcome:
        """Exchange the token; once begun it is finished, also when the caller goes away."""
        caller.require(Permission.TOKENS_EXCHANGE)
        presented = self._rotation.present(caller, request, Purpose.EXCHANGE)
        # The store finishes this one by itself; what follows where it does not apply is shielded.
        tokens = await self._rotation.advance_plainly(caller, presented)
        if tokens is not None:
            return ExchangeOutcome(tokens, False)
        return await self._shield.run(self._decided(caller, presented))

    async def _decided(self, caller: Caller, presented: Presented) -> ExchangeOutcome:
        for _ in range(_TRIES):
            view, decision = await self._rotation.decide(caller, presented)
            if isinstance(decision, Replay):
                return ExchangeOutcome(await self._rotation.replay(view, decision.grant), True)
            tokens = await self._rotation.advance(caller, view, presented, decision.grant)
            if tokens is not None:
                return ExchangeOutcome(tokens, False)
        raise keeps_changing()


def keeps_changing() -> TokenServiceError:
    """Nothing was consumed: what was decided on changed each time before it could be written."""
    return TokenServiceError(
        Reason.OVERLOADED, "the session keeps changing", retry_after=timedelta(seconds=1)
    )
