"""CollectPairing: an approved pairing becomes a session, once."""

import hashlib
import hmac
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Amr
from token_service.domain.login.authenticated import Authenticated
from token_service.domain.pairing.decision import Event, Move, Pairing, Side, Step, decide_pairing
from token_service.domain.ports import (
    Clock,
    CollectGuard,
    Durability,
    PairingStore,
    Randomness,
    Secrets,
    SessionMint,
)
from token_service.domain.sessions.exchange import require_live
from token_service.domain.sessions.grants import narrowed_grant
from token_service.domain.sessions.opening import (
    NewIds,
    Wanted,
    open_session,
    require_may_open,
)
from token_service.domain.sessions.session import Session, SessionView
from token_service.usecases.clients.cache import ClientCache
from token_service.usecases.login.passwords import account_bucket
from token_service.usecases.pairing.access import (
    PairingAccess,
    Proof,
    decided,
    keeps_changing,
    refused,
)
from token_service.usecases.shielding import Shield
from token_service.usecases.tokens.token_set import IssuedTokens, TokenSetMaker

_TRIES = 4


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """`exchange_id` is 16 bytes drawn once and repeated on retries; empty: no retry."""

    pairing_id: UUID
    proof: Proof
    exchange_id: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Collected:
    """The new session; `replayed` when this answer was given before."""

    tokens: IssuedTokens
    replayed: bool


class CollectPairing:
    """Raises PAIRING_NOT_FOUND, CLIENT_MISMATCH, PAIRING_STATE, CLIENT_NOT_APPROVED,
    CLIENT_DISABLED, PLATFORM_NOT_ALLOWED, AUDIENCE_NOT_ALLOWED, SCOPE_NOT_ALLOWED, and what
    `TokenSetMaker.ready` raises; it can be collected later then."""

    def __init__(
        self,
        *,
        access: PairingAccess,
        store: PairingStore,
        client_cache: ClientCache,
        maker: TokenSetMaker,
        mint: SessionMint,
        secrets: Secrets,
        durability: Durability,
        clock: Clock,
        random: Randomness,
        shield: Shield,
    ) -> None:
        self._access = access
        self._store = store
        self._client_cache = client_cache
        self._maker = maker
        self._mint = mint
        self._secrets = secrets
        self._durability = durability
        self._clock = clock
        self._random = random
        self._shield = shield

    async def __call__(self, caller: Caller, request: CollectRequest) -> Collected:
        """Hand out the tokens; once begun it is finished, also when the caller goes away."""
        return await self._shield.run(self._collect(caller, request))

    async def _collect(self, caller: Caller, request: CollectRequest) -> Collected:
        for attempt in range(_TRIES):
            pairing = await self._access.find(caller, request.pairing_id, request.proof)
            now = self._clock.now()
            decision = decide_pairing(pairing, Event(Step.COLLECT, request.proof.side), now)
            decided(decision)
            if caller.client_id != pairing.client_id:
                raise TokenServiceError(Reason.CLIENT_MISMATCH, "the pairing is for another client")
            if not isinstance(decision, Move):
                return await self._again(pairing, request, now)
            tokens = await self._complete(caller, pairing, request, now, reread=attempt > 0)
            if tokens is not None:
                return Collected(tokens, False)
        raise keeps_changing()

    async def _again(self, pairing: Pairing, request: CollectRequest, now: datetime) -> Collected:
        """The same tokens, for the same request within the replay window while they are unused."""
        view = await self._store.child(pairing.pairing_id)
        asked = _request_hash(pairing, request.exchange_id)
        if view is None or asked is None or not _is_replay(view, asked, now):
            raise refused(Reason.PAIRING_STATE)
        require_live(view, now)
        await self._durability.confirm((pairing.pairing_id, asked))
        session, policy = view.session, view.policy
        grant = narrowed_grant(
            (),
            (),
            session=session.grant,
            client_audiences=policy.audiences,
            client_scopes=policy.scopes,
            user_scopes=view.user_scopes,
        )
        keys = self._maker.ready(session.current, grant, policy)
        tokens = self._maker.make(
            keys, session.current, grant=grant, policy=policy, rev=view.head_revision, now=now
        )
        return Collected(tokens, True)

    async def _complete(
        self,
        caller: Caller,
        pairing: Pairing,
        request: CollectRequest,
        now: datetime,
        *,
        reread: bool,
    ) -> IssuedTokens | None:
        client, version = await self._client_cache.require(pairing.client_id, reread=reread)
        require_may_open(client, pairing.platform)
        view, username = await self._approver(pairing, now)
        bucket = account_bucket(self._secrets, username)
        asked = _request_hash(pairing, request.exchange_id)
        child = self._child(pairing, client, view, asked, now)
        guard = CollectGuard(version, view.user_version, bucket)
        audit = caller.audit(
            now,
            "pairing.collect",
            target=str(child.session_id),
            subject=child.subject,
            details=f"pairing={pairing.pairing_id} parent={child.parent_session_id}"
            f" client={client.client_id} platform={pairing.platform.name.lower()}",
        )
        grant = child.grant
        keys = self._maker.ready(child.current, grant, client.policy)
        inserted = await self._store.collect(child, guard, audit)
        if inserted is None:
            if await self._store.is_locked(bucket, now):
                raise _approver_gone()
            return None
        return self._maker.make(
            keys, child.current, grant=grant, policy=client.policy, rev=inserted.rev, now=now
        )

    async def _approver(self, pairing: Pairing, now: datetime) -> tuple[SessionView, str]:
        """The approving session, if it and its person are still good, and the person's name."""
        session_id = pairing.approver_session
        found = await self._store.approver(session_id) if session_id else None
        if found is None:
            raise _approver_gone()
        try:
            require_live(found[0], now)
        except TokenServiceError:
            raise _approver_gone() from None
        return found

    def _child(
        self,
        pairing: Pairing,
        client: Client,
        view: SessionView,
        exchange_hash: bytes | None,
        now: datetime,
    ) -> Session:
        """At most what the approving session is, under the lifetimes of its own platform."""
        if pairing.login is None:
            raise _approver_gone()
        login, parent = pairing.login, view.session
        who = Authenticated(
            acr=login.acr,
            amr=login.amr | Amr.XDEV,
            auth_time=login.auth_time,
            user_id=parent.user_id,
            roles=view.user_roles,
            scopes=(view.user_scopes or frozenset()) & set(parent.scopes),
        )
        device = pairing.starter if pairing.collector is Side.STARTER else pairing.scanner
        wanted = Wanted(pairing.platform, pairing.audiences, pairing.scopes, device)
        ids = NewIds(self._random.uuid(), self._random.uuid(), self._mint.active().kid)
        return replace(
            open_session(client, wanted, who, ids, now),
            exchange_hash=exchange_hash,
            parent_session_id=parent.session_id,
            pairing_id=pairing.pairing_id,
        )


def _is_replay(view: SessionView, asked: bytes, now: datetime) -> bool:
    session = view.session
    window = view.policy.lifetimes_for(session.platform).replay_window
    return (
        session.generation == 1
        and session.exchange_hash is not None
        and hmac.compare_digest(session.exchange_hash, asked)
        and now < session.rotated_at + window
    )


def _request_hash(pairing: Pairing, exchange_id: bytes) -> bytes | None:
    """The fingerprint by which a repeated collection is recognised; None without an id."""
    if not exchange_id:
        return None
    digest = hashlib.sha256(b"tokenservice collect v1\0" + exchange_id)
    digest.update(pairing.pairing_id.bytes + pairing.client_id.encode())
    return digest.digest()


def _approver_gone() -> TokenServiceError:
    return TokenServiceError(
        Reason.PAIRING_STATE, "the session that approved it, or its user, is not good any more"
    )
