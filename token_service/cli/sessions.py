"""`token-service session`: where somebody is logged in."""

from typing import Annotated

import typer

from token_service.cli import inputs
from token_service.cli.api import DEMO_WEB, Api
from token_service.cli.choices import ReasonWord, reason_number
from token_service.cli.command import api_command, group
from token_service.cli.naming import subject_of
from token_service.cli.paging import all_pages
from token_service.cli.revocations import show_ended
from token_service.cli.token_anatomy import owner_of
from token_service.cli.tokens import DEMO_OF_KIND
from tokenservice.v1 import session_service_pb2 as pb

app = group("List and end sessions.")

TokenFile = Annotated[
    str | None,
    typer.Option("--token-file", help="- for stdin, or a file with a session's current token."),
]
SessionId = Annotated[str, typer.Argument(help="Id of the session.")]
Reason = Annotated[ReasonWord | None, typer.Option(help="Decides how far it reaches.")]
Note = Annotated[str, typer.Option(help="For the audit record.")]

_COLUMNS = (
    "session_id",
    "platform",
    "kind",
    "client_id",
    "device.name",
    "created_at",
    "last_activity_at",
    "idle_expires_at",
)


@api_command(app, "list")
def list_sessions(
    api: Api,
    subject: Annotated[
        str, typer.Option(help="A user's name or id, or a client's id for its own sessions.")
    ] = "",
    token_file: TokenFile = None,
) -> None:
    """List the live sessions of a subject, or of the user whose session token is given."""
    token = "" if subject else _token(api, token_file)
    named = subject_of(api, subject) if subject else ""

    def page(page_token: str) -> tuple[list[pb.Session], str]:
        request = pb.ListSessionsRequest(page_size=500, page_token=page_token)
        if named:
            request.subject = named
        else:
            request.session_token = token
        reply = api.call(api.sessions.ListSessions, request)
        return list(reply.sessions), reply.next_page_token

    api.out.messages(all_pages(page), _COLUMNS)


@api_command(app, "show")
def show(api: Api, session_id: SessionId) -> None:
    """Show one session, also one that has ended."""
    request = pb.GetSessionRequest(session_id=session_id)
    api.out.message(api.call(api.sessions.GetSession, request).session)


@api_command(app, "revoke")
def revoke(
    api: Api,
    session_id: SessionId,
    reason: Reason = None,
    note: Note = "",
    token_file: TokenFile = None,
) -> None:
    """End one session. Exit code 1 when it was over already."""
    request = pb.RevokeSessionRequest(
        session_id=session_id, reason=reason_number(reason), note=note
    )
    if token_file is not None:
        request.session_token = _token(api, token_file)
    show_ended(api.out, api.call(api.sessions.RevokeSession, request))


@api_command(app, "revoke-others", caller=DEMO_WEB)
def revoke_others(
    api: Api, token_file: TokenFile = None, reason: Reason = None, note: Note = ""
) -> None:
    """End every session of a user but the one whose token is given."""
    request = pb.RevokeOtherSessionsRequest(
        session_token=_token(api, token_file), reason=reason_number(reason), note=note
    )
    reply = api.call(api.sessions.RevokeOtherSessions, request)
    api.out.message(reply)
    if reply.revoked_sessions == 0:
        api.out.note("there was no other session")


def _token(api: Api, source: str | None) -> str:
    """Read the token, and call as its owner where nobody was named."""
    token = inputs.read_token(source)
    kind, client_id = owner_of(token)
    api.choose(DEMO_OF_KIND.get(kind, DEMO_WEB), client_id)
    return token
