"""`token-service token`: obtain, exchange, check, read and revoke tokens."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import typer

from token_service.cli import inputs, revocations, variables
from token_service.cli.api import DEMO_API, DEMO_GATEWAY, DEMO_MOBILE, DEMO_WEB, Api
from token_service.cli.choices import (
    PLATFORMS,
    AssuranceWord,
    PlatformWord,
    TokenWord,
)
from token_service.cli.command import api_command, group, local_command
from token_service.cli.output import Output, as_dict
from token_service.cli.problems import REFUSED, CliError
from token_service.cli.target import from_environment
from token_service.cli.token_anatomy import audience_of, describe, owner_of, pairs_of
from tokenservice.core import MalformedToken
from tokenservice.v1 import client_service_pb2, token_service_pb2, types_pb2

app = group("Obtain, exchange, check and revoke tokens.")

_DEMO_OF_PLATFORM = {
    PlatformWord.WEB: DEMO_WEB,
    PlatformWord.MOBILE: DEMO_MOBILE,
    PlatformWord.API: DEMO_API,
}
DEMO_OF_KIND = {
    "web_session": DEMO_WEB,
    "mobile_session": DEMO_MOBILE,
    "api_session": DEMO_API,
}

_SPENT = "the token that was exchanged is spent: presented again, it ends the session"

Source = inputs.TokenSource
Audiences = Annotated[list[str] | None, typer.Option("--audience", help="May be repeated.")]
Scopes = Annotated[list[str] | None, typer.Option("--scope", help="May be repeated.")]
Only = Annotated[
    TokenWord | None,
    typer.Option(help="Print this token and nothing else, to pipe it on (access: the first)."),
]
ExchangeId = Annotated[
    str | None,
    typer.Option(help="Repeat an exchange whose reply was lost: the id that it was made with."),
]


@api_command(app, "issue", caller=DEMO_WEB)
def issue(
    api: Api,
    user: Annotated[
        str | None, typer.Option(help="Log this user in; left out, the client itself.")
    ] = None,
    platform: Annotated[
        PlatformWord | None, typer.Option(help="Where the session lives. Default: web.")
    ] = None,
    audience: Audiences = None,
    scope: Scopes = None,
    device_id: Annotated[str, typer.Option(help="Stable id of the device.")] = "",
    device_name: Annotated[str, typer.Option(help="Name by which people know the device.")] = "",
    password_file: inputs.PasswordSource = None,
    for_client: Annotated[
        str, typer.Option(help="Client that the session is for; left out, the caller.")
    ] = "",
    only: Only = None,
) -> None:
    """Log a user, or the calling client itself, in and print the first tokens."""
    request = token_service_pb2.IssueRequest(
        client_id=for_client,
        audiences=audience or [],
        scopes=scope or [],
        device=types_pb2.Device(device_id=device_id, name=device_name),
    )
    if user is None:
        api.caller = DEMO_API
        request.client.SetInParent()
        request.platform = types_pb2.PLATFORM_API
    else:
        platform = platform or PlatformWord.WEB
        api.caller = _DEMO_OF_PLATFORM[platform]
        request.platform = PLATFORMS[platform]
        request.password.CopyFrom(credential_of(api, user, password_file))
    reply = api.call(api.tokens.Issue, request)
    _show(api.out, reply.tokens, only, {})


@api_command(app, "exchange", caller=DEMO_WEB)
def exchange(
    api: Api,
    source: Source = None,
    exchange_id: ExchangeId = None,
    audience: Audiences = None,
    scope: Scopes = None,
    only: Only = None,
) -> None:
    """Exchange a session or rolling token, for good, and print its successor.

    The token is spent at once. Presented again it ends the session, unless with the same
    --exchange-id, which gives the same successor.
    """
    token = inputs.read_token(source)
    _choose_owner(api, token)
    request = token_service_pb2.ExchangeRequest(
        token=token,
        exchange_id=inputs.exchange_id(exchange_id),
        audiences=audience or [],
        scopes=scope or [],
    )
    _announce(api.out, request.exchange_id)
    reply = api.call(api.tokens.Exchange, request)
    if reply.replayed:
        api.out.note("replayed: this is the result of an earlier exchange with the same id")
    used = {"exchange_id": request.exchange_id.hex(), "replayed": reply.replayed}
    _show(api.out, reply.tokens, only, used)
    api.out.note(_SPENT)


@api_command(app, "reauthenticate", caller=DEMO_WEB)
def reauthenticate(
    api: Api,
    user: Annotated[str, typer.Option(help="The session's user.")],
    source: Source = None,
    password_file: inputs.PasswordSource = None,
    exchange_id: ExchangeId = None,
    audience: Audiences = None,
    scope: Scopes = None,
    only: Only = None,
) -> None:
    """Exchange a token together with a fresh password: the answer to a step-up challenge.

    The token is spent as by `token exchange`.
    """
    token = inputs.read_token(source)
    _choose_owner(api, token)
    request = token_service_pb2.ReauthenticateRequest(
        token=token,
        password=credential_of(api, user, password_file),
        exchange_id=inputs.exchange_id(exchange_id),
        audiences=audience or [],
        scopes=scope or [],
    )
    _announce(api.out, request.exchange_id)
    reply = api.call(api.tokens.Reauthenticate, request)
    if reply.replayed:
        api.out.note("replayed: this is the result of an earlier exchange with the same id")
    used = {"exchange_id": request.exchange_id.hex(), "replayed": reply.replayed}
    _show(api.out, reply.tokens, only, used)
    api.out.note(_SPENT)


@api_command(app, "validate", caller=DEMO_GATEWAY)
def validate(
    api: Api,
    source: Source = None,
    audience: Annotated[
        str,
        typer.Option(
            help="On whose behalf to ask; left out, the token's, if the caller protects it."
        ),
    ] = "",
    scope: Scopes = None,
    max_auth_age: Annotated[
        str | None, typer.Option(help="Longest time since the login, such as 10m.")
    ] = None,
    required_acr: Annotated[
        AssuranceWord | None, typer.Option(help="Least strength; logins are aal1 as yet.")
    ] = None,
    min_revision: Annotated[int, typer.Option(min=0, help="As Revoke returned it.")] = 0,
) -> None:
    """Ask whether a token is good, as a gateway does. Exit code 1 unless it is ACTIVE."""
    token = inputs.read_token(source)
    request = token_service_pb2.ValidateRequest(
        token=token,
        audience=audience or _audience(api, token),
        required_scopes=scope or [],
        min_revision=min_revision,
        required_acr=required_acr or "",
    )
    if max_auth_age is not None:
        request.max_auth_age.CopyFrom(inputs.duration(max_auth_age))
    reply = api.call(api.tokens.Validate, request)
    api.out.message(reply)
    if reply.verdict != types_pb2.VERDICT_ACTIVE:
        raise typer.Exit(REFUSED)


@local_command(app, "inspect")
def inspect(out: Output, source: Source = None) -> None:
    """Show what a token says. Calls nobody, verifies nothing, and leaves its secrets out."""
    try:
        described = describe(inputs.read_token(source))
    except MalformedToken as error:
        raise CliError(f"not a token of this service: {error}", exit_code=REFUSED) from None
    if out.as_json:
        out.json(described)
    else:
        out.record(pairs_of(described, datetime.now(UTC)))


revocations.add_to(app)


def credential_of(
    api: Api, user: str, password_file: str | None
) -> token_service_pb2.PasswordCredential:
    """Return a user's credential; the demo user's is known where nobody said another."""
    demo = api.target.demo
    unasked = password_file is None and not from_environment(variables.PASSWORD)
    if unasked and demo is not None and demo.user.username == user:
        api.out.note(f"taking {user}'s password from the development server's credentials")
        password = demo.user.password
    else:
        password = inputs.read_password(password_file)
    return token_service_pb2.PasswordCredential(username=user, password=password)


def _choose_owner(api: Api, token: str) -> None:
    """Call as the development server's client whose token it is, where nobody was named."""
    kind, client_id = owner_of(token)
    api.choose(DEMO_OF_KIND.get(kind, DEMO_WEB), client_id)


def _audience(api: Api, token: str) -> str:
    """Choose the audience to ask for: the token's own, if the caller protects it."""
    own = api.call(api.clients.GetClient, client_service_pb2.GetClientRequest()).client
    protected = list(own.policy.protects_audiences)
    named = [audience for audience in protected if audience == audience_of(token)] or protected
    if len(named) != 1:
        raise CliError(f"say --audience: the caller protects {', '.join(protected) or 'none'}")
    api.out.note(f"asking for the audience {named[0]}")
    return named[0]


def _announce(out: Output, used_id: bytes) -> None:
    """Say the id before the call: a lost reply is asked for again with it."""
    out.note(f"exchange id {used_id.hex()} (repeat with --exchange-id if the reply gets lost)")


def _show(
    out: Output,
    tokens: types_pb2.TokenSet,
    only: TokenWord | None,
    beside: Mapping[str, object],
) -> None:
    """Print a token set; `beside` is what scripts learn of the call itself."""
    if only is not None:
        out.line(_picked(tokens, only))
    elif out.as_json:
        out.json({**beside, "tokens": as_dict(tokens)})
    else:
        out.message(tokens)


def _picked(tokens: types_pb2.TokenSet, only: TokenWord) -> str:
    if only is TokenWord.SESSION and tokens.session_token:
        return tokens.session_token
    return tokens.access_tokens[0].token  # in the rolling scheme it is both
