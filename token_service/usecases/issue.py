"""Issue: a credential becomes a session and its first access tokens."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from token_service.domain.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError, invalid_field
from token_service.domain.grants import Grant, initial_grant
from token_service.domain.kinds import (
    SERVICE_AUDIENCE,
    SESSION_KIND_OF_PLATFORM,
    Amr,
    ClientState,
    Permission,
    Platform,
    TokenKind,
    TokenScheme,
)
from token_service.domain.ports import Clock, IssueGuard, Randomness, SessionMint, SessionStore
from token_service.domain.records import UNKNOWN_DEVICE, Client, Device, Session
from token_service.usecases.client_directory import ClientDirectory
from token_service.usecases.passwords import (
    PasswordCredential,
    VerifiedUser,
    VerifyPassword,
)
from token_service.usecases.shielding import Shield
from token_service.usecases.token_set import IssuedTokens, TokenSetMaker
from tokenservice.core.limits import MAX_AUDIENCES, MAX_SCOPES

_TRIES = 4


@dataclass(frozen=True, slots=True)
class ClientCredential:
    """The calling client itself: its authentication on this call is the credential."""


@dataclass(frozen=True, slots=True)
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
        directory: ClientDirectory,
        verify_password: VerifyPassword,
        sessions: SessionStore,
        maker: TokenSetMaker,
        mint: SessionMint,
        clock: Clock,
        random: Randomness,
        shield: Shield,
    ) -> None:
        self._directory = directory
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
                client, version = await self._directory.require(client.client_id, reread=True)
            _require_allowed(client, request)
            if isinstance(request.credential, PasswordCredential):
                verified = await self._verify_password(
                    request.credential,
                    request.device.ip_address,
                    caller,
                )
                if verified.config_version != version:
                    continue
            grant = self._grant(client, request, verified)
            tokens = await self._shield.run(
                self._open(caller, request, client, verified, version, grant)
            )
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
        return await self._directory.require(client_id)

    def _grant(self, client: Client, request: IssueRequest, verified: VerifiedUser | None) -> Grant:
        policy = client.policy
        allowed = policy.audiences
        if verified is None and SERVICE_AUDIENCE in request.audiences:
            allowed = (*allowed, SERVICE_AUDIENCE)
        elif verified is not None:
            allowed = tuple(name for name in allowed if name != SERVICE_AUDIENCE)
        rolling = policy.scheme is TokenScheme.ROLLING
        # A rolling token has one audience: the client's first, where none was asked for.
        audiences = request.audiences or (allowed[:1] if rolling else ())
        grant = initial_grant(
            audiences,
            request.scopes,
            client_audiences=allowed,
            client_scopes=policy.scopes,
            user_scopes=verified.user.scopes if verified else None,
        )
        if rolling and len(grant.audiences) != 1:
            raise invalid_field("audiences", "a rolling token has exactly one audience")
        if len(grant.scopes) > MAX_SCOPES or len(grant.audiences) > MAX_AUDIENCES:
            raise invalid_field("scopes", "too many scopes or audiences for one session")
        return grant

    async def _open(
        self,
        caller: Caller,
        request: IssueRequest,
        client: Client,
        verified: VerifiedUser | None,
        version: int,
        grant: Grant,
    ) -> IssuedTokens | None:
        now = self._clock.now()
        session = self._session(request, client, verified, grant, now)
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
        keys = self._maker.ready(session.current, grant, client.policy)
        inserted = await self._sessions.insert(session, guard, audit)
        if inserted is None:
            return None
        return self._maker.make(keys, session.current, grant, client.policy, inserted.rev, now)

    def _session(
        self,
        request: IssueRequest,
        client: Client,
        verified: VerifiedUser | None,
        grant: Grant,
        now: datetime,
    ) -> Session:
        lifetimes = client.policy.lifetimes_for(request.platform)
        rolling = client.policy.scheme is TokenScheme.ROLLING
        absolute = now + lifetimes.absolute
        return Session(
            session_id=self._random.uuid(),
            lookup_id=self._random.uuid(),
            kind=TokenKind.ROLLING if rolling else SESSION_KIND_OF_PLATFORM[request.platform],
            platform=request.platform,
            client_id=client.client_id,
            user_id=verified.user.user_id if verified else None,
            generation=1,
            mint_kid=self._mint.active().kid,
            exchange_hash=None,
            rev=0,
            acr=1,
            amr=Amr.PWD if verified else Amr.APP,
            auth_time=now,
            created_at=now,
            rotated_at=now,
            last_active_at=now,
            idle_seconds=int(lifetimes.idle.total_seconds()),
            idle_expires_at=min(now + lifetimes.idle, absolute),
            absolute_expires_at=absolute,
            audiences=grant.audiences,
            scopes=grant.scopes,
            roles=verified.user.roles if verified else (),
            device=request.device,
            confirmation=request.confirmation,
        )


def _require_allowed(client: Client, request: IssueRequest) -> None:
    if client.state is ClientState.DISABLED:
        raise TokenServiceError(Reason.CLIENT_DISABLED, "the client is disabled")
    if client.state is not ClientState.ACTIVE:
        raise TokenServiceError(Reason.CLIENT_NOT_APPROVED, "the client is not approved")
    if request.platform not in client.policy.platforms:
        raise TokenServiceError(Reason.PLATFORM_NOT_ALLOWED, "platform not allowed")
    own = isinstance(request.credential, ClientCredential)
    if not own and not client.policy.password_login:
        raise TokenServiceError(
            Reason.CREDENTIAL_NOT_ALLOWED, "password login is for first-party clients"
        )
    if own and request.platform is not Platform.API:
        raise TokenServiceError(
            Reason.CREDENTIAL_NOT_ALLOWED, "a client's own session has PLATFORM_API"
        )
