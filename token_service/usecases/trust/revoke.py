"""Revoke: by token, session, subject, device, client, key, or everything."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission, RevocationReason, TrustEffect, TrustEntryKind
from token_service.domain.ports import (
    AccessTokens,
    Clock,
    RevocationStore,
    SessionFacts,
    SessionMint,
    SessionStore,
    Trust,
    UserStore,
)
from token_service.domain.sessions.session import Session
from token_service.domain.sessions.subjects import subject_ids
from token_service.domain.trust.revocation import Revocation, Revoked
from token_service.usecases.clients.records import ClientRecords
from token_service.usecases.shielding import Shield
from token_service.usecases.tokens.validate import opaque_facts
from token_service.usecases.users.administration import user_not_found
from tokenservice.core import (
    Facts,
    Form,
    MalformedToken,
    OpaqueAccess,
    TokenKind,
    UnknownToken,
    shape_of,
)


@dataclass(frozen=True, slots=True)
class TokenTarget:
    """An access token alone; a session or rolling token with its family (RFC 7009)."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SessionTarget:
    """One session by its public id."""

    session_id: UUID


@dataclass(frozen=True, slots=True)
class BulkTarget:
    """Everything of a subject, a subject's device, a client, or everything at all."""

    kind: TrustEntryKind
    id: str = ""
    device_id: str = ""


@dataclass(frozen=True, slots=True)
class KeyTarget:
    """A signing key, mint key or the like, with all that it made."""

    kid: str


Target = TokenTarget | SessionTarget | BulkTarget | KeyTarget


@dataclass(frozen=True, slots=True)
class RevokeRequest:
    """`note` goes to the audit log and must hold no secret."""

    target: Target
    reason: RevocationReason
    note: str = ""


CompromiseKey = Callable[[Caller, str, str], Awaitable[Revoked]]


class Revoke:
    """Raises CLIENT_MISMATCH, PERMISSION_MISSING, SESSION_, USER_, CLIENT_ and KEY_NOT_FOUND, and
    TRUST_STALE for a token whose key this node cannot have.
    Returns after the commit, and after this node itself refuses what was revoked."""

    def __init__(
        self,
        *,
        mint: SessionMint,
        tokens: AccessTokens,
        sessions: SessionStore,
        facts: SessionFacts,
        users: UserStore,
        clients: ClientRecords,
        revocations: RevocationStore,
        trust: Trust,
        clock: Clock,
        shield: Shield,
        compromise_key: CompromiseKey,
    ) -> None:
        self._mint = mint
        self._tokens = tokens
        self._sessions = sessions
        self._facts = facts
        self._users = users
        self._clients = clients
        self._revocations = revocations
        self._trust = trust
        self._clock = clock
        self._shield = shield
        self._compromise_key = compromise_key

    async def __call__(self, caller: Caller, request: RevokeRequest) -> Revoked:
        """Revoke the target. What is no token of ours, or already dead, is no error."""
        if not caller.may(Permission.TOKENS_REVOKE_ANY):
            caller.require(Permission.TOKENS_REVOKE)
        match request.target:
            case TokenTarget(token):
                return await self._by_token(caller, request, token)
            case SessionTarget(session_id):
                session = await self._sessions.get(session_id)
                if session is None:
                    raise TokenServiceError(Reason.SESSION_NOT_FOUND, "no such session")
                return await self._session(caller, request, session)
            case KeyTarget(kid):
                caller.require(Permission.TOKENS_REVOKE_ANY)
                return await self._shield.run(self._compromise(caller, kid, request.note))
            case BulkTarget(kind, id_, device_id):
                own = kind is TrustEntryKind.CLIENT and id_ == caller.client_id
                if not own:
                    caller.require(Permission.TOKENS_REVOKE_ANY)
                await self._require_target(kind, id_)
                return await self._write(caller, request, kind, id_, device_id=device_id)

    async def _require_target(self, kind: TrustEntryKind, id_: str) -> None:
        """Whoever is to be revoked exists: an answer of "0 sessions" for a name that was mistyped
        would leave the one who was meant logged in."""
        if kind is TrustEntryKind.CLIENT:
            await self._clients.require(id_)
        elif kind in (TrustEntryKind.SUBJECT, TrustEntryKind.SUBJECT_DEVICE):
            user_id, client_id = subject_ids(id_)
            if user_id is not None and await self._users.get(user_id) is not None:
                return
            if await self._clients.find(client_id) is None:
                raise user_not_found()

    async def _compromise(self, caller: Caller, kid: str, note: str) -> Revoked:
        return await self._compromise_key(caller, kid, note)

    async def _by_token(self, caller: Caller, request: RevokeRequest, token: str) -> Revoked:
        form = shape_of(token).form
        session = await self._session_of(token) if form in (Form.SESSION, Form.JWT) else None
        if session is not None:
            return await self._session(caller, request, session)
        return await self._by_claims(caller, request, token, form)

    async def _by_claims(
        self, caller: Caller, request: RevokeRequest, token: str, form: Form
    ) -> Revoked:
        """Of what an authentic token says of itself, also where its session has no row any more:
        validators and caches may know it yet. A session token says nothing of the kind."""
        claims = await self._claims(token, form)
        if claims is None:
            return Revoked(self._trust.state.revision)
        if isinstance(claims, OpaqueAccess):  # whose it was is not known without its session
            return await self._access(caller, request, claims)
        if claims.kind is TokenKind.ROLLING:
            _require_own(caller, claims.client_id)
            if self._is_revoked(claims):
                return Revoked(self._trust.state.revision)
            kind, subject = TrustEntryKind.SESSION, claims.subject
            return await self._write(caller, request, kind, claims.session_id, subject=subject)
        if not _may_revoke_access(caller, claims):
            raise _not_yours()
        if self._is_revoked(claims):
            return Revoked(self._trust.state.revision)
        return await self._access(caller, request, claims, claims.subject)

    def _is_revoked(self, claims: Facts) -> bool:
        """Whether the log kills it already. Another entry would cost every node and validator
        memory each time that somebody asks for it."""
        return self._trust.state.status(claims) is TrustEffect.REVOKE

    async def _access(
        self,
        caller: Caller,
        request: RevokeRequest,
        access: Facts | OpaqueAccess,
        subject: str = "",
    ) -> Revoked:
        if self._clock.unix() >= access.expires_at:
            return Revoked(self._trust.state.revision)
        kind = TrustEntryKind.TOKEN
        return await self._write(caller, request, kind, access.token_id, subject=subject)

    async def _session_of(self, token: str) -> Session | None:
        """The session behind a session or rolling token of any generation. Raises TRUST_STALE
        where this node cannot tell."""
        try:
            authentic = self._mint.authenticate(token)
        except TokenServiceError as error:
            if error.reason is Reason.TRUST_STALE:
                raise
            return None
        view = await self._sessions.view(authentic.lookup_id)
        return view.session if view else None

    async def _claims(self, token: str, form: Form) -> Facts | OpaqueAccess | None:
        """Of an access or rolling token, and for an opaque one those of its session with them."""
        try:
            if form is Form.JWT:
                return self._tokens.authenticate_jwt(token)
            if form is Form.OPAQUE_ACCESS:
                access = self._tokens.authenticate_opaque(token)
                session = await self._facts.load(access.session_id, access.generation)
                return opaque_facts(access, session) if session else access
        except (MalformedToken, UnknownToken):
            return None
        return None

    async def _session(self, caller: Caller, request: RevokeRequest, session: Session) -> Revoked:
        _require_own(caller, session.client_id)
        return await self._write(
            caller,
            request,
            TrustEntryKind.SESSION,
            str(session.session_id),
            subject=session.subject,
        )

    async def _write(
        self,
        caller: Caller,
        request: RevokeRequest,
        kind: TrustEntryKind,
        id_: str,
        *,
        device_id: str = "",
        subject: str = "",
    ) -> Revoked:
        now = self._clock.now()
        details = f"kind={kind.name.lower()} reason={request.reason.name.lower()}"
        if request.note:
            details += f" note={request.note}"
        audit = caller.audit(now, "revoke", target=id_, subject=subject, details=details)
        revocation = Revocation(
            kind=kind, id=id_, reason=request.reason, audit=audit, device_id=device_id
        )
        revoked = await self._shield.run(self._revocations.revoke(revocation, now))
        await self._trust.reach(revoked.revision)
        return revoked


def _require_own(caller: Caller, client_id: str) -> None:
    if client_id != caller.client_id and not caller.may(Permission.TOKENS_REVOKE_ANY):
        raise _not_yours()


def _may_revoke_access(caller: Caller, facts: Facts) -> bool:
    return (
        facts.client_id == caller.client_id
        or facts.audience in caller.policy.protects_audiences
        or caller.may(Permission.TOKENS_REVOKE_ANY)
    )


def _not_yours() -> TokenServiceError:
    return TokenServiceError(Reason.CLIENT_MISMATCH, "the target is another client's")
