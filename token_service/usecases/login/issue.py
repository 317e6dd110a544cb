"""Issue: a credential becomes a session and its first access tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Amr, Permission, Platform
from token_service.domain.ports import Clock, IssueGuard, Randomness, SessionMint, SessionStore
from token_service.domain.sessions.opening import (
    Authenticated,
    NewIds,
    Wanted,
    open_session,
    require_may_open,
)
from token_service.domain.sessions.session import UNKNOWN_DEVICE, Device, Session
from token_service.usecases.clients.cache import ClientCache
from token_service.usecases.login.passwords import PasswordCredential, VerifiedUser, VerifyPassword
from token_service.usecases.shielding import Shield
from token_service.usecases.tokens.token_set import IssuedTokens, TokenSetMaker

_TRIES = 4


@dataclass(frozen=True, slots=True)
class ClientCredential:
    """The calling client itself: its authentication on this call is the credential."""


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
    CREDENTIAL_NOT_ALLOWED, AUDIENCE_NOT_ALLOWED, SCOPE_NOT_ALLOWED and what VerifyPassword
    and `TokenSetMaker.ready` raise; nothing is written then."""

    def __init__(
        self,
        *,
        client_cache: ClientCache,
        verify_password: VerifyPassword,
        sessions: SessionStore,
        maker: TokenSetMaker,
        mint: SessionMint,
        clock: Clock,
        random: Randomness,
        shield: Shield,
    ) -> None:
        self._client_cache = client_cache
        self._verify_password = verify_password
        self._sessions = sessions
        self._maker = maker
        self._mint = mint
        self._clock = clock
        self._random = random
        self._shield = shield

    async def __call__(self, caller: Caller, request: IssueRequest) -> IssuedTokens:
        """Open a session; what the login raced against (a disable, a new password) wins."""
        caller.require(Permission.TOKENS_ISSUE)
        if isinstance(request.credential, ClientCredential):
            caller.require_own_credential()
        client, version = await self._client(caller, request)
        verified: VerifiedUser | None = None
        for attempt in range(_TRIES):
            if attempt:
                client, version = await self._client_cache.require(client.client_id, reread=True)
            _require_allowed(client, request)
            if isinstance(request.credential, PasswordCredential):
                verified = await self._verify_password(
                    request.credential,
                    request.device.ip_address,
                    caller,
                )
                if verified.config_version != version:
                    continue
            tokens = await self._shield.run(self._open(caller, request, client, verified, version))
            if tokens is not None:
                return tokens
        raise TokenServiceError(
            Reason.OVERLOADED, "the configuration keeps changing", retry_after=timedelta(seconds=1)
        )

    async def _client(self, caller: Caller, request: IssueRequest) -> tuple[Client, int]:
        client_id = request.client_id or caller.client_id
        if client_id != caller.client_id:
            own = isinstance(request.credential, ClientCredential)
            if own or client_id not in caller.policy.may_issue_for:
                raise TokenServiceError(
                    Reason.CLIENT_MISMATCH, "sessions of that client are not this caller's to issue"
                )
        return await self._client_cache.require(client_id)

    async def _open(
        self,
        caller: Caller,
        request: IssueRequest,
        client: Client,
        verified: VerifiedUser | None,
        version: int,
    ) -> IssuedTokens | None:
        now = self._clock.now()
        session = self._session(request, client, verified, now)
        user = verified.user if verified else None
        guard = IssueGuard(
            config_version=version,
            user_version=user.version if user else 0,
            credential_version=user.credential_version if user else 0,
            attempt_bucket=verified.attempt_bucket if verified else b"",
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
        self,
        request: IssueRequest,
        client: Client,
        verified: VerifiedUser | None,
        now: datetime,
    ) -> Session:
        user = verified.user if verified else None
        who = (
            Authenticated(
                acr=1,
                amr=Amr.PWD,
                auth_time=now,
                user_id=user.user_id,
                roles=user.roles,
                scopes=user.scopes,
            )
            if user
            else Authenticated(acr=1, amr=Amr.APP, auth_time=now)
        )
        wanted = Wanted(
            request.platform,
            request.audiences,
            request.scopes,
            request.device,
            request.confirmation,
        )
        ids = NewIds(self._random.uuid(), self._random.uuid(), self._mint.active().kid)
        return open_session(client, wanted, who, ids, now)


def _require_allowed(client: Client, request: IssueRequest) -> None:
    require_may_open(client, request.platform)
    own = isinstance(request.credential, ClientCredential)
    if not own and not client.policy.password_login:
        raise TokenServiceError(
            Reason.CREDENTIAL_NOT_ALLOWED, "password login is for first-party clients"
        )
    if own and request.platform is not Platform.API:
        raise TokenServiceError(
            Reason.CREDENTIAL_NOT_ALLOWED, "a client's own session has PLATFORM_API"
        )
