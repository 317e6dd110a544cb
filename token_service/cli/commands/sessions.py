"""`token-service session`: where somebody is logged in."""

from typing import Annotated

import typer

from token_service.cli import inputs
from token_service.cli.calling.api import DEMO_WEB, PAGE, Api
from token_service.cli.choices import ReasonWord
from token_service.cli.command import api_command, group
from token_service.cli.commands.naming import subject_of
from token_service.cli.commands.revocations import reason_of, show_count, show_ended
from token_service.cli.commands.token_anatomy import owner_of
from token_service.cli.commands.tokens import DEMO_OF_KIND

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
    "device.name",
    "client_id",
    "last_activity_at",
    "created_at",
    "idle_expires_at",
    "kind",
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
    sessions = api.tokens.list_sessions(
        subject=named or None,
        session_token=None if named else token,
        page_size=PAGE,
        timeout=api.timeout,
    )
    api.out.values(api.all(sessions), _COLUMNS)


@api_command(app, "show")
def show(api: Api, session_id: SessionId) -> None:
    """Show one session, also one that has ended."""
    api.out.value(api.run(api.tokens.get_session(session_id, timeout=api.timeout)))


@api_command(app, "revoke")
def revoke(
    api: Api,
    session_id: SessionId,
    reason: Reason = None,
    note: Note = "",
    token_file: TokenFile = None,
) -> None:
    """End one session. Exit code 1 when it was over already."""
    token = "" if token_file is None else _token(api, token_file)
    call = api.tokens.revoke_session(
        session_id,
        session_token=token,
        reason=reason_of(reason),
        note=note,
        timeout=api.timeout,
    )
    show_ended(api.out, api.run(call))


@api_command(app, "revoke-others", caller=DEMO_WEB)
def revoke_others(
    api: Api, token_file: TokenFile = None, reason: Reason = None, note: Note = ""
) -> None:
    """End every session of a user but the one whose token is given."""
    token = _token(api, token_file)
    call = api.tokens.revoke_other_sessions(
        token, reason=reason_of(reason), note=note, timeout=api.timeout
    )
    revoked = api.run(call)
    show_count(api.out, revoked)
    if revoked.sessions == 0:
        api.out.note("there was no other session")


def _token(api: Api, source: str | None) -> str:
    """Read the token, and call as its owner where nobody was named."""
    token = inputs.read_token(source)
    kind, client_id = owner_of(token)
    api.choose(DEMO_OF_KIND.get(kind, DEMO_WEB), client_id)
    return token
