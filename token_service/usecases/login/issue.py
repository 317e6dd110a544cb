"""Issue: a credential becomes a session and its first access tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission, Platform
from token_service.domain.login.authenticated import Authenticated
from token_service.domain.login.credentials import require_accepted, require_may_bring
from token_service.domain.ports import Clock, IssueGuard, Randomness, SessionMint, SessionStore
from token_service.domain.sessions.opening import (
    NewIds,
    Wanted,
    open_session,
    require_may_open,
)
from token_service.domain.sessions.session import UNKNOWN_DEVICE, Device, Session
from token_service.usecases.clients.cache import ClientCache
from token_service.usecases.login.client import ClientCredential
from token_service.usecases.login.passwords import PasswordCredential
from token_service.usecases.login.verifiers import LoginAttempt, Verifiers
from token_service.usecases.shielding import Shield
from token_service.usecases.tokens.token_set import IssuedTokens, TokenSetMaker

_TRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueRequest:
    """`client_id` is whose session it becomes (empty: the caller's)."""

    credential: PasswordCredential | ClientCredential
    platform: Platform
    client_id: str = ""
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    device: Device = UNKNOWN_DEVICE
    confirmation: bytes = b""


class Issue:
    """Raises CLIENT_MISMATCH, CLIENT_NOT_APPROVED, CLIENT_DISABLED, PLATFORM_NOT_ALLOWED,
    CREDENTIAL_NOT_ALLOWED, AUDIENCE_NOT_ALLOWED, SCOPE_NOT_ALLOWED and what the credential's
    verifier and `TokenSetMaker.ready` raise; nothing is written then."""

    def __init__(
        self,
        *,
        client_cache: ClientCache,
        verifiers: Verifiers,
        sessions: SessionStore,
        maker: TokenSetMaker,
        mint: SessionMint,
        clock: Clock,
        random: Randomness,
        shield: Shield,
    ) -> None:
        self._client_cache = client_cache
        self._verifiers = verifiers
        self._sessions = sessions
        self._maker = maker
        self._mint = mint
        self._clock = clock
        self._random = random
        self._shield = shield

    async def __call__(self, caller: Caller, request: IssueRequest) -> IssuedTokens:
        """Open a session; what the login raced against (a disable, a new password) wins."""
        caller.require(Permission.TOKENS_ISSUE)
        verify = self._verifiers.of(request.credential)
        client_id = request.client_id or caller.client_id
        require_may_bring(verify.kind, caller, client_id)
        attempt = LoginAttempt(caller, request.device.ip_address)
        for tried in range(_TRIES):
            client, version = await self._client_cache.require(client_id, reread=tried > 0)
            require_may_open(client, request.platform)
            require_accepted(verify.kind, client, request.platform)
            who = await verify(request.credential, attempt)
            if who.versions.config not in (None, version):
                continue
            tokens = await self._shield.run(self._open(caller, request, client, who, version))
            if tokens is not None:
                return tokens
        raise TokenServiceError(
            Reason.OVERLOADED, "the configuration keeps changing", retry_after=timedelta(seconds=1)
        )

    async def _open(
        self,
        caller: Caller,
        request: IssueRequest,
        client: Client,
        who: Authenticated,
        version: int,
    ) -> IssuedTokens | None:
        now = self._clock.now()
        session = self._session(request, client, who, now)
        read = who.versions
        guard = IssueGuard(
            config_version=version,
            user_version=read.user,
            credential_version=read.credential,
            attempt_bucket=read.attempt_bucket,
        )
        audit = caller.audit(
            now,
            "session.issue",
            target=str(session.session_id),
            subject=session.subject,
            details=f"client={client.client_id} platform={request.platform.name.lower()}",
        )
        grant = session.grant
        keys = self._maker.ready(session.current, grant, client.policy)
        inserted = await self._sessions.insert(session, guard, audit)
        if inserted is None:
            return None
        return self._maker.make(
            keys, session.current, grant=grant, policy=client.policy, rev=inserted.rev, now=now
        )

    def _session(
        self, request: IssueRequest, client: Client, who: Authenticated, now: datetime
    ) -> Session:
        wanted = Wanted(
            request.platform,
            request.audiences,
            request.scopes,
            request.device,
            request.confirmation,
        )
        ids = NewIds(self._random.uuid(), self._random.uuid(), self._mint.active().kid)
        return open_session(client, wanted, who, ids, now)
