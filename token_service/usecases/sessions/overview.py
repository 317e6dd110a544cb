"""Sessions as people see them: list, look at one, sign out one or all the others."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission, RevocationReason, TrustEntryKind
from token_service.domain.ports import (
    Clock,
    RevocationStore,
    SessionMint,
    SessionPage,
    SessionStore,
    Trust,
)
from token_service.domain.sessions.exchange import (
    Presented,
    require_live,
    require_owner,
    superseded,
)
from token_service.domain.sessions.session import Session, SessionView
from token_service.domain.trust.revocation import Revocation, Revoked
from token_service.usecases.shielding import Shield

PAGE = 100


@dataclass(frozen=True, slots=True)
class ListRequest:
    """By `subject` (the caller's own sessions of it, all of them with tokens.revoke_any), or by a
    user's `session_token` (all sessions of that user: it is the user who asks)."""

    subject: str = ""
    session_token: str = field(default="", repr=False)
    page_size: int = PAGE
    page_token: str = ""


class SessionAccess:
    """Reading a presented session token without consuming it."""

    def __init__(self, mint: SessionMint, sessions: SessionStore, clock: Clock) -> None:
        self._mint = mint
        self._sessions = sessions
        self._clock = clock

    async def current(self, caller: Caller, token: str, confirmation: bytes = b"") -> SessionView:
        """The live session whose *current* token this is. Raises TOKEN_* and CLIENT_MISMATCH;
        one that was exchanged already is TOKEN_SUPERSEDED, and nothing is touched: who only shows
        a token gets nothing for it, so that it need not be known who exchanged it."""
        authentic = self._mint.authenticate(token)
        view = await self._sessions.view(authentic.lookup_id)
        if view is None:
            raise TokenServiceError(Reason.TOKEN_EXPIRED, "the session is gone")
        presented = Presented(
            lookup_id=authentic.lookup_id,
            generation=authentic.generation,
            mint_kid=authentic.mint_kid,
            client_id=caller.client_id,
            confirmation=confirmation,
        )
        require_owner(view, presented)
        require_live(view, self._clock.now())
        session = view.session
        if authentic.generation < session.generation:
            raise superseded()
        if (authentic.generation, authentic.mint_kid) != (session.generation, session.mint_kid):
            raise TokenServiceError(Reason.TOKEN_REVOKED, "the token is not one of this session's")
        return view


class ListSessions:
    """Raises PERMISSION_MISSING and what SessionAccess raises."""

    def __init__(self, access: SessionAccess, sessions: SessionStore, clock: Clock) -> None:
        self._access = access
        self._sessions = sessions
        self._clock = clock

    async def __call__(self, caller: Caller, request: ListRequest) -> SessionPage:
        """Live sessions, newest first."""
        caller.require(Permission.SESSIONS_READ)
        subject, client_id = request.subject, None
        if request.session_token:
            view = await self._access.current(caller, request.session_token)
            subject = view.session.subject
        elif not caller.may(Permission.TOKENS_REVOKE_ANY):
            client_id = caller.client_id
        return await self._sessions.page(
            subject, client_id, request.page_size, request.page_token, self._clock.now()
        )


class GetSession:
    """Raises SESSION_NOT_FOUND, also for another client's session."""

    def __init__(self, sessions: SessionStore) -> None:
        self._sessions = sessions

    async def __call__(self, caller: Caller, session_id: UUID) -> Session:
        """One session, live or not."""
        caller.require(Permission.SESSIONS_READ)
        session = await self._sessions.get(session_id)
        own = session is not None and session.client_id == caller.client_id
        if session is None or not (own or caller.may(Permission.TOKENS_REVOKE_ANY)):
            raise TokenServiceError(Reason.SESSION_NOT_FOUND, "no such session")
        return session


class RevokeSession:
    """Sign out one session: the caller's own, or, with a live `session_token` of the same user,
    any of that user's."""

    def __init__(
        self,
        *,
        access: SessionAccess,
        sessions: SessionStore,
        revocations: RevocationStore,
        trust: Trust,
        clock: Clock,
        shield: Shield,
    ) -> None:
        self._access = access
        self._sessions = sessions
        self._revocations = revocations
        self._trust = trust
        self._clock = clock
        self._shield = shield

    async def __call__(
        self,
        caller: Caller,
        session_id: UUID,
        reason: RevocationReason,
        note: str = "",
        session_token: str = "",
    ) -> tuple[Session, Revoked]:
        """The session as it is now. Raises SESSION_NOT_FOUND for what is not the caller's."""
        caller.require(Permission.TOKENS_REVOKE)
        session = await self._sessions.get(session_id)
        if session is None or not await self._allowed(caller, session, session_token):
            raise TokenServiceError(Reason.SESSION_NOT_FOUND, "no such session")
        revoked = await self._shield.run(self._revoke(caller, session, reason, note))
        await self._trust.reach(revoked.revision)
        return await self._sessions.get(session_id) or session, revoked

    async def others(
        self, caller: Caller, session_token: str, reason: RevocationReason, note: str = ""
    ) -> Revoked:
        """Sign out every session of the token's user except the presenting one."""
        caller.require(Permission.TOKENS_REVOKE)
        view = await self._access.current(caller, session_token)
        keep = view.session
        revoked = await self._shield.run(self._revoke_others(caller, keep, reason, note))
        await self._trust.reach(revoked.revision)
        return revoked

    async def _allowed(self, caller: Caller, session: Session, session_token: str) -> bool:
        if session.client_id == caller.client_id or caller.may(Permission.TOKENS_REVOKE_ANY):
            return True
        if not session_token:
            return False
        view = await self._access.current(caller, session_token)
        return view.session.subject == session.subject

    async def _revoke_others(
        self, caller: Caller, keep: Session, reason: RevocationReason, note: str
    ) -> Revoked:
        revision, count, page_token = self._trust.state.revision, 0, ""
        while True:
            page = await self._sessions.page(
                keep.subject, None, PAGE, page_token, self._clock.now()
            )
            others = [one for one in page.sessions if one.session_id != keep.session_id]
            outcomes = await asyncio.gather(
                *(self._revoke(caller, session, reason, note, keep) for session in others)
            )
            revision = max([revision, *(done.revision for done in outcomes)])
            count += sum(done.sessions for done in outcomes)
            page_token = page.next_page_token
            if not page_token:
                return Revoked(revision, count)

    async def _revoke(
        self,
        caller: Caller,
        session: Session,
        reason: RevocationReason,
        note: str,
        keep: Session | None = None,
    ) -> Revoked:
        now = self._clock.now()
        audit = caller.audit(
            now,
            "session.revoke",
            target=str(session.session_id),
            subject=session.subject,
            details=f"reason={reason.name.lower()} note={note}",
        )
        revocation = Revocation(
            kind=TrustEntryKind.SESSION,
            id=str(session.session_id),
            reason=reason,
            audit=audit,
            spared=keep.session_id if keep else None,
        )
        return await self._revocations.revoke(revocation, now)
