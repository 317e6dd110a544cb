"""The calls of SessionService, with plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenservice import _messages as messages
from tokenservice._transport import calls
from tokenservice._values import Revoked
from tokenservice.core import RevocationReason
from tokenservice.v1 import session_service_pb2 as pb

if TYPE_CHECKING:
    from datetime import timedelta

    from tokenservice._listing import Listing
    from tokenservice._transport.calls import Calls
    from tokenservice._values import Session


class SessionCalls:
    """Lists and ends sessions; see :class:`tokenservice.TokenClient`.

    ``timeout`` is for all attempts together. Everything raises TokenServiceError.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list_sessions(
        self,
        *,
        subject: str | None = None,
        session_token: str | None = None,
        page_size: int = 0,
        page_token: str = "",
        timeout: timedelta | None = None,
    ) -> Listing[Session]:
        """List the live sessions of a subject, or of the user whose session token this is (it is
        not consumed), the latest login first.

        ``page_size`` is at most 500; 0 means 50. ``timeout`` is for each page.
        Raises ValueError unless exactly one of the two is given.
        """
        if (subject is None) == (session_token is None):
            raise ValueError("either subject or session_token is due")

        def request(token: str) -> pb.ListSessionsRequest:
            asked = pb.ListSessionsRequest(page_size=page_size, page_token=token)
            if subject is not None:
                asked.subject = subject
            elif session_token is not None:
                asked.session_token = messages.presented(session_token)
            return asked

        return self._calls.listing(
            lambda stubs: stubs.sessions.ListSessions,
            request,
            lambda reply: map(messages.session, reply.sessions),
            page_token,
            timeout,
        )

    async def get_session(self, session_id: str, *, timeout: timedelta | None = None) -> Session:
        """Fetch one session, also one that ended and is still remembered (SESSION_NOT_FOUND)."""
        with messages.sendable():
            request = pb.GetSessionRequest(session_id=session_id)
        reply = await self._calls.call(
            lambda stubs: stubs.sessions.GetSession, request, calls.READ, timeout
        )
        return messages.session(reply.session)

    async def revoke_session(
        self,
        session_id: str,
        *,
        session_token: str = "",
        reason: RevocationReason = RevocationReason.UNSPECIFIED,
        note: str = "",
        timeout: timedelta | None = None,
    ) -> Revoked:
        """End one session; one that is over already is no error.

        ``session_token`` is that of the person who signs another device out, and is needed for
        sessions of other clients only. It is not consumed.
        """
        with messages.sendable():
            request = pb.RevokeSessionRequest(
                session_id=session_id,
                reason=messages.number(reason),
                note=note,
                session_token=session_token and messages.presented(session_token),
            )
        reply = await self._calls.call(
            lambda stubs: stubs.sessions.RevokeSession, request, calls.REVOKE_ONE, timeout
        )
        return Revoked(reply.revision, reply.revoked_sessions, messages.session(reply.session))

    async def revoke_other_sessions(
        self,
        session_token: str,
        *,
        reason: RevocationReason = RevocationReason.UNSPECIFIED,
        note: str = "",
        timeout: timedelta | None = None,
    ) -> Revoked:
        """End every session of the user but this one ("log out everywhere else").

        Sent once: a login that comes in between a retry's two attempts would end as well.
        """
        with messages.sendable():
            request = pb.RevokeOtherSessionsRequest(
                session_token=messages.presented(session_token),
                reason=messages.number(reason),
                note=note,
            )
        reply = await self._calls.call(
            lambda stubs: stubs.sessions.RevokeOtherSessions, request, calls.REVOKE_MANY, timeout
        )
        return Revoked(reply.revision, reply.revoked_sessions)
