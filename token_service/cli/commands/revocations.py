"""`token-service token revoke`, and what every command says that ends sessions."""

from typing import Annotated

import typer

from token_service.cli import inputs
from token_service.cli.calling.api import DEMO_ADMIN, Api
from token_service.cli.choices import ReasonWord
from token_service.cli.command import api_command
from token_service.cli.commands.naming import client_id_of, subject_of
from token_service.cli.commands.token_anatomy import describe
from token_service.cli.output import Output
from token_service.cli.problems import REFUSED, CliError
from tokenservice import RevocationReason, Revoked
from tokenservice.core import MalformedToken


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
    targets = [bool(source), bool(session), bool(subject), bool(client), bool(key), everything]
    if sum(targets) > 1:
        raise CliError("name one thing to revoke")
    if device_id and not subject:
        raise CliError("--device-id needs --subject")
    token = None if any(targets[1:]) else inputs.read_token(source)
    counted = bool(session or subject) or (token is not None and _counted(token))
    if key:
        inputs.confirm(f"Take the key {key} out of use, for good?", yes=yes)
    if everything:
        inputs.confirm("Revoke every token of everybody?", yes=yes)
    call = api.tokens.revoke(
        token=token,
        session_id=session or None,
        subject=subject_of(api, subject) if subject else None,
        device_id=device_id or None,
        client_id=client_id_of(api, client) if client else None,
        key_id=key or None,
        everything=everything,
        reason=reason_of(reason),
        note=note,
        timeout=api.timeout,
    )
    revoked = api.run(call)
    if counted:
        show_ended(api.out, revoked)
        return
    api.out.value({"revision": revoked.revision})
    if token is not None:
        api.out.note("an access token is revoked alone: its session, if it is live, goes on")


def reason_of(word: ReasonWord | None) -> RevocationReason:
    """Return what a word stands for; none lets the service choose."""
    return RevocationReason.UNSPECIFIED if word is None else RevocationReason[word.name]


def show_ended(out: Output, revoked: Revoked) -> None:
    """Print what a revocation ended. None at all is exit code 1: nobody was logged out, which a
    mistyped device or token looks like."""
    show_count(out, revoked)
    if revoked.sessions == 0:
        out.note("no session ended: no live one was found for what was named")
        raise typer.Exit(REFUSED)


def show_count(out: Output, revoked: Revoked) -> None:
    """Print the revision of a revocation, how many sessions it ended, and the one named."""
    counted = {"revision": revoked.revision, "revoked_sessions": revoked.sessions}
    out.value({"session": revoked.session, **counted})


def _counted(token: str) -> bool:
    """Whether the service counts the sessions that the token's revocation ends. Raises CliError
    for what is no token: the service would revoke nothing, and call that a success (RFC 7009)."""
    try:
        described = describe(token)
    except MalformedToken as error:
        raise CliError(f"not a token of this service: {error}", exit_code=REFUSED) from None
    return described["kind"] != "access"
