"""`token-service token revoke`, and what every command says that ends sessions."""

from typing import Annotated

import typer

from token_service.cli import inputs
from token_service.cli.api import DEMO_ADMIN, Api
from token_service.cli.choices import ReasonWord, reason_number
from token_service.cli.command import api_command
from token_service.cli.naming import client_id_of, subject_of
from token_service.cli.output import Output
from token_service.cli.problems import REFUSED, CliError
from token_service.cli.token_anatomy import describe
from tokenservice.core import MalformedToken
from tokenservice.v1 import session_service_pb2, token_service_pb2


def add_to(tokens: typer.Typer) -> None:
    """Declare the command."""
    api_command(tokens, "revoke", caller=DEMO_ADMIN)(_revoke)


def _revoke(
    api: Api,
    source: inputs.TokenSource = None,
    session: Annotated[str, typer.Option(help="A session and its tokens, by its id.")] = "",
    subject: Annotated[
        str, typer.Option(help="Every session of a user (name or id), or a client's own (id).")
    ] = "",
    device_id: Annotated[str, typer.Option(help="With --subject: of this device only.")] = "",
    client: Annotated[str, typer.Option(help="Every session of a client (name or id).")] = "",
    key: Annotated[str, typer.Option(help="Every token of a key, which ends with it.")] = "",
    everything: Annotated[bool, typer.Option("--everything", help="All there is.")] = False,
    reason: Annotated[ReasonWord | None, typer.Option(help="Decides how far it reaches.")] = None,
    note: Annotated[str, typer.Option(help="For the audit record.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Revoke a token (as `exchange` reads it), or what one of the options names. Exit code 1 when
    a session, device or subject was named that has no live session."""
    request = token_service_pb2.RevokeRequest(reason=reason_number(reason), note=note)
    targets = [bool(source), bool(session), bool(subject), bool(client), bool(key), everything]
    if sum(targets) > 1:
        raise CliError("name one thing to revoke")
    if device_id and not subject:
        raise CliError("--device-id needs --subject")
    if session:
        request.session_id = session
    elif subject:
        _name(request, subject_of(api, subject), device_id)
    elif client:
        request.client_id = client_id_of(api, client)
    elif key:
        inputs.confirm(f"Take the key {key} out of use, for good?", yes=yes)
        request.key_id = key
    elif everything:
        inputs.confirm("Revoke every token of everybody?", yes=yes)
        request.everything.SetInParent()
    else:
        request.token = inputs.read_token(source)
    counted = _counted(request)
    _show(api.out, request, api.call(api.tokens.Revoke, request), counted=counted)


def _name(request: token_service_pb2.RevokeRequest, subject: str, device_id: str) -> None:
    if device_id:
        request.subject_device.subject = subject
        request.subject_device.device_id = device_id
    else:
        request.subject = subject


def _show(
    out: Output,
    request: token_service_pb2.RevokeRequest,
    reply: token_service_pb2.RevokeResponse,
    *,
    counted: bool,
) -> None:
    if counted:
        show_ended(out, reply)
        return
    out.message(reply, hide=("revoked_sessions",))
    if request.token:
        out.note("an access token is revoked alone: its session, if it is live, goes on")


def show_ended(
    out: Output,
    reply: token_service_pb2.RevokeResponse | session_service_pb2.RevokeSessionResponse,
) -> None:
    """Print what a revocation ended. None at all is exit code 1: nobody was logged out, which a
    mistyped device or token looks like."""
    out.message(reply)
    if reply.revoked_sessions == 0:
        out.note("no session ended: no live one was found for what was named")
        raise typer.Exit(REFUSED)


def _counted(request: token_service_pb2.RevokeRequest) -> bool:
    """Whether the service counts the sessions that the target's revocation ends. Raises CliError
    for what is no token: the service would revoke nothing, and call that a success (RFC 7009)."""
    if not request.token:
        return request.WhichOneof("target") in ("session_id", "subject", "subject_device")
    try:
        described = describe(request.token)
    except MalformedToken as error:
        raise CliError(f"not a token of this service: {error}", exit_code=REFUSED) from None
    return described["kind"] != "access"
