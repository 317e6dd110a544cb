"""`token-service token`: obtain, exchange, check, read and revoke tokens."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated

import typer

from token_service.cli import inputs, variables
from token_service.cli.calling.api import DEMO_API, DEMO_GATEWAY, DEMO_MOBILE, DEMO_WEB, Api
from token_service.cli.calling.target import from_environment
from token_service.cli.choices import AssuranceWord, PlatformWord, TokenWord
from token_service.cli.command import api_command, group, local_command
from token_service.cli.commands import revocations
from token_service.cli.commands.token_anatomy import audience_of, describe, owner_of, pairs_of
from token_service.cli.output import Output
from token_service.cli.problems import REFUSED, CliError
from token_service.cli.values import as_json, parts_of
from tokenservice import Device, Platform, TokenSet
from tokenservice.core import MalformedToken

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

_OURS = ("source", "reason")
"""Parts of a decision that are about a validator, and no answer of the service."""
_SPENT = "the token that was exchanged is spent: presented again, it ends the session"

Source = inputs.TokenSource
Audiences = Annotated[
    list[str] | None,
    typer.Option(
        "--audience",
        help="API that the tokens are for; may be repeated. Default: all that are allowed.",
    ),
]
Scopes = Annotated[
    list[str] | None, typer.Option("--scope", help="What the tokens allow there; may be repeated.")
]
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
    device = Device(device_id=device_id, name=device_name)
    if user is None:
        if for_client:
            raise CliError("--for-client goes with --user: a client logs in as itself")
        api.caller = DEMO_API
        call = api.tokens.login_as_client(
            audiences=audience or (), scopes=scope or (), device=device, timeout=api.timeout
        )
    else:
        platform = platform or PlatformWord.WEB
        api.caller = _DEMO_OF_PLATFORM[platform]
        password = password_of(api, user, password_file)
        call = api.tokens.login_with_password(
            user,
            password,
            platform=Platform[platform.name],
            client_id=for_client,
            audiences=audience or (),
            scopes=scope or (),
            device=device,
            timeout=api.timeout,
        )
    _show(api.out, api.run(call), only)


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
    used_id = _announced(api.out, exchange_id)
    call = api.tokens.exchange(
        token,
        exchange_id=used_id,
        audiences=audience or (),
        scopes=scope or (),
        timeout=api.timeout,
    )
    _show_successor(api.out, api.run(call), only, used_id)


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
    password = password_of(api, user, password_file)
    used_id = _announced(api.out, exchange_id)
    call = api.tokens.reauthenticate(
        token,
        user,
        password,
        exchange_id=used_id,
        audiences=audience or (),
        scopes=scope or (),
        timeout=api.timeout,
    )
    _show_successor(api.out, api.run(call), only, used_id)


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
    call = api.tokens.validate(
        token,
        audience=audience or _audience(api, token),
        scopes=scope or (),
        max_auth_age=None if max_auth_age is None else inputs.duration(max_auth_age),
        acr=required_acr or "",
        min_revision=min_revision,
        timeout=api.timeout,
    )
    decision = api.run(call)
    api.out.value({name: one for name, one in parts_of(decision) if name not in _OURS})
    if not decision.active:
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


def password_of(api: Api, user: str, password_file: str | None) -> str:
    """Return a user's password; the demo user's is known where nobody said another."""
    demo = api.target.demo
    unasked = password_file is None and not from_environment(variables.PASSWORD)
    if unasked and demo is not None and demo.user.username == user:
        api.out.note(f"taking {user}'s password from the development server's credentials")
        return demo.user.password
    return inputs.read_password(password_file)


def _choose_owner(api: Api, token: str) -> None:
    """Call as the development server's client whose token it is, where nobody was named."""
    kind, client_id = owner_of(token)
    api.choose(DEMO_OF_KIND.get(kind, DEMO_WEB), client_id)


def _audience(api: Api, token: str) -> str:
    """Choose the audience to ask for: the token's own, if the caller protects it."""
    protected = api.run(api.clients.get_client(timeout=api.timeout)).policy.protects_audiences
    named = [audience for audience in protected if audience == audience_of(token)] or protected
    if len(named) != 1:
        raise CliError(f"say --audience: the caller protects {', '.join(protected) or 'none'}")
    api.out.note(f"asking for the audience {named[0]}")
    return named[0]


def _announced(out: Output, exchange_id: str | None) -> bytes:
    """Return the id to use, and say it before the call: a lost reply is asked for again with it."""
    used_id = inputs.exchange_id(exchange_id)
    out.note(f"exchange id {used_id.hex()} (repeat with --exchange-id if the reply gets lost)")
    return used_id


def _show_successor(
    out: Output, tokens: TokenSet, only: TokenWord | None, exchange_id: bytes
) -> None:
    if tokens.replayed:
        out.note("replayed: this is the result of an earlier exchange with the same id")
    _show(out, tokens, only, {"exchange_id": exchange_id.hex(), "replayed": tokens.replayed})
    out.note(_SPENT)


def _show(
    out: Output,
    tokens: TokenSet,
    only: TokenWord | None,
    beside: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Print a token set; `beside` is what scripts learn of the call itself."""
    if only is not None:
        out.line(_picked(tokens, only))
        return
    shown = {name: one for name, one in parts_of(tokens) if name != "replayed"}
    if out.as_json:
        out.json({**beside, "tokens": as_json(shown)})
    else:
        out.value(shown)


def _picked(tokens: TokenSet, only: TokenWord) -> str:
    if only is TokenWord.SESSION:
        return tokens.exchangeable
    return tokens.access_tokens[0].token  # in the rolling scheme it is both
