"""SessionService: where a user is logged in, and signing out."""

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import invalid_field
from token_service.domain.kinds import RevocationReason
from token_service.domain.sessions.session import Session
from token_service.rpc.mapping import checks
from token_service.rpc.mapping.tokens import note, revocation_reason, timestamp
from token_service.usecases.sessions.overview import (
    GetSession,
    ListRequest,
    ListSessions,
    RevokeSession,
)
from tokenservice.v1 import session_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types


class SessionServicer:
    """Maps requests, calls the use cases, maps outcomes."""

    def __init__(
        self, list_sessions: ListSessions, get_session: GetSession, revoke: RevokeSession
    ) -> None:
        self._list = list_sessions
        self._get = get_session
        self._revoke = revoke

    async def list_sessions(
        self, caller: Caller, request: pb.ListSessionsRequest
    ) -> pb.ListSessionsResponse:
        """List the live sessions of a subject."""
        listing = ListRequest(
            page_size=checks.page_size(request.page_size),
            page_token=checks.page_token(request.page_token),
            **_owner(request),
        )
        page = await self._list(caller, listing)
        return pb.ListSessionsResponse(
            sessions=[session_message(session) for session in page.sessions],
            next_page_token=page.next_page_token,
        )

    async def get_session(
        self, caller: Caller, request: pb.GetSessionRequest
    ) -> pb.GetSessionResponse:
        """Look at one session."""
        session_id = checks.uuid(request.session_id, "session_id")
        return pb.GetSessionResponse(session=session_message(await self._get(caller, session_id)))

    async def revoke_session(
        self, caller: Caller, request: pb.RevokeSessionRequest
    ) -> pb.RevokeSessionResponse:
        """Sign out one session."""
        session_id = checks.uuid(request.session_id, "session_id")
        token = request.session_token
        session, revoked = await self._revoke(
            caller,
            session_id,
            revocation_reason(request.reason, RevocationReason.LOGOUT),
            note(request.note),
            checks.token(token, "session_token") if token else "",
        )
        return pb.RevokeSessionResponse(
            session=session_message(session),
            revision=revoked.revision,
            revoked_sessions=revoked.sessions,
        )

    async def revoke_other_sessions(
        self, caller: Caller, request: pb.RevokeOtherSessionsRequest
    ) -> pb.RevokeOtherSessionsResponse:
        """Sign out all sessions of a user but the presenting one."""
        revoked = await self._revoke.others(
            caller,
            checks.token(request.session_token, "session_token"),
            revocation_reason(request.reason, RevocationReason.LOGOUT),
            note(request.note),
        )
        return pb.RevokeOtherSessionsResponse(
            revision=revoked.revision, revoked_sessions=revoked.sessions
        )


def session_message(session: Session) -> pb.Session:
    """Map a session; what only its tokens may hold is left out."""
    device = session.device
    return pb.Session(
        session_id=str(session.session_id),
        platform=checks.wire(session.platform),
        kind=checks.wire(session.kind),
        device=types.Device(
            device_id=device.device_id,
            name=device.name,
            user_agent=device.user_agent,
            ip_address=device.ip_address,
        ),
        client_id=session.client_id,
        subject=session.subject,
        created_at=timestamp(session.created_at),
        last_activity_at=timestamp(session.last_active_at),
        idle_expires_at=timestamp(session.idle_expires_at),
        absolute_expires_at=timestamp(session.absolute_expires_at),
        auth_time=timestamp(session.auth_time),
        parent_session_id=str(session.parent_session_id or ""),
        revoked_at=timestamp(session.revoked_at) if session.revoked_at else None,
        revoked_reason=checks.wire(session.revoked_reason or RevocationReason.UNSPECIFIED),
    )


def _owner(request: pb.ListSessionsRequest) -> dict[str, str]:
    match request.WhichOneof("owner"):
        case "subject":
            return {"subject": checks.subject(request.subject, "subject")}
        case "session_token":
            return {"session_token": checks.token(request.session_token, "session_token")}
        case _:
            raise invalid_field("owner", "must be given")
