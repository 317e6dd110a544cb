"""Sessions, composed."""

from dataclasses import dataclass

from token_service.app.parts import Parts
from token_service.app.usecases.shared import Shared
from token_service.usecases.sessions.exchange import Exchange
from token_service.usecases.sessions.overview import GetSession, ListSessions, RevokeSession
from token_service.usecases.tokens.activity import ReportActivity


@dataclass(frozen=True, slots=True)
class SessionUseCases:
    """Sessions are exchanged, looked at and ended."""

    exchange: Exchange
    list: ListSessions
    get: GetSession
    revoke: RevokeSession
    report_activity: ReportActivity


def sessions(parts: Parts, shared: Shared) -> SessionUseCases:
    """Compose them."""
    return SessionUseCases(
        exchange=Exchange(shared.rotation, parts.shield),
        list=ListSessions(access=shared.access, sessions=parts.sessions, clock=parts.clock),
        get=GetSession(parts.sessions),
        revoke=RevokeSession(
            access=shared.access,
            sessions=parts.sessions,
            revocations=parts.revocations,
            trust=parts.trust,
            clock=parts.clock,
            shield=parts.shield,
        ),
        report_activity=ReportActivity(parts.sessions, parts.clock),
    )
