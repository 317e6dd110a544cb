"""`token-service client`: the applications that use the service."""

import json
from typing import Annotated

import typer

from token_service.cli import inputs, operations, variables
from token_service.cli.calling.api import PAGE, Api
from token_service.cli.choices import PlatformWord, StateWord
from token_service.cli.command import api_command, group
from token_service.cli.output import Output
from token_service.cli.problems import CliError
from token_service.cli.values import time_text
from tokenservice import Client, ClientPolicy, ClientState, Platform
from tokenservice.core.limits import COOKIE_BYTES, COOKIE_TOKEN_LENGTH

app = group("Register, review and administer clients.")

ClientId = Annotated[str, typer.Argument(help="Id of the client.")]
Note = Annotated[str, typer.Option(help="For the audit record.")]
PolicyFile = Annotated[
    str | None,
    typer.Option(
        "--policy",
        help="A file (- for stdin) with the policy in JSON, as `client policy` prints it.",
    ),
]
RequestId = Annotated[
    str | None, typer.Option(help="Repeat a call whose reply was lost: the id it was made with.")
]

_COLUMNS = ("client_id", "name", "contact", "state", "policy.audiences", "created_at")


@api_command(app, "register", anonymous=True)
def register(
    api: Api,
    name: Annotated[str, typer.Option(help="Name that people will recognise it by.")],
    contact: Annotated[str, typer.Option(help="Whom to ask about it.")],
    policy: PolicyFile = None,
    wanted_id: Annotated[
        str,
        typer.Option(
            "--id", help="Id that it is to have; needs admin.clients. Left out: one is made."
        ),
    ] = "",
    platform: Annotated[list[PlatformWord] | None, typer.Option(help="Repeatable.")] = None,
    audience: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    protects: Annotated[list[str] | None, typer.Option(help="Audience; repeatable.")] = None,
    permission: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    password_login: Annotated[
        bool, typer.Option("--password-login", help="Users' passwords pass through it.")
    ] = False,
) -> None:
    """Ask for a new client; somebody else reviews it. The policy is a file or these options.

    Prints the registration secret, this once. It ends when the client first calls with the secret
    that was collected with it.
    """
    asked = ClientPolicy(
        platforms=tuple(Platform[word.name] for word in platform or ()),
        audiences=tuple(audience or ()),
        scopes=tuple(scope or ()),
        protects_audiences=tuple(protects or ()),
        permissions=tuple(permission or ()),
        password_login=password_login,
    )
    if policy is not None:
        if asked != ClientPolicy():
            raise CliError("give the policy as a file or as options, not both")
        asked = inputs.read_policy(policy)
    if wanted_id:
        api.anonymous = False
    call = api.clients.register_client(
        name, contact, asked, client_id=wanted_id, timeout=api.timeout
    )
    api.out.value(api.run(call))
    api.out.note("keep the registration secret, it is not shown again: it collects the credentials")
    api.out.note("after the review, until the client first calls with what was collected")
    api.out.note("another client with admin.clients reviews it: token-service client review")


@api_command(app, "review")
def review(
    api: Api,
    client_id: ClientId,
    approve: Annotated[bool, typer.Option("--approve/--reject", help="The decision.")],
    note: Note = "",
    policy: PolicyFile = None,
) -> None:
    """Approve or reject a registration; with --policy, approve with that one."""
    instead = None if policy is None else inputs.read_policy(policy)
    call = api.clients.review_client(
        client_id, approve=approve, note=note, policy=instead, timeout=api.timeout
    )
    api.out.value(api.run(call))


@api_command(app, "collect", anonymous=True)
def collect(
    api: Api,
    client_id: ClientId,
    source: Annotated[
        str | None,
        typer.Argument(
            help=variables.read_by(
                "Where the registration secret is: - for stdin, or a file. Left out: the "
                "variable, stdin or a prompt.",
                variables.TOKEN,
            )
        ),
    ] = None,
    request_id: RequestId = None,
) -> None:
    """Collect the credentials of an approved client.

    Collected again, the secret is another one and the former one ends at once; with the same
    --request-id it is the same. After the first call with it nothing is collected any more.
    """
    secret = inputs.read_token(source, "Registration secret")
    used_id = inputs.request_id(request_id)
    api.out.note(f"request id {used_id} (repeat with --request-id)")
    call = api.clients.collect_client_credentials(
        client_id, secret, request_id=used_id, timeout=api.timeout
    )
    api.out.value(api.run(call))
    api.out.note("keep the secret; one that was collected before by another request id has ended")


@api_command(app, "rotate")
def rotate(
    api: Api,
    client_id: Annotated[str, typer.Argument(help="Left out: the caller.")] = "",
    overlap: Annotated[
        str | None, typer.Option(help="How long the old secret works, such as 1h. Default: 24h.")
    ] = None,
    request_id: RequestId = None,
) -> None:
    """Make a new secret for a client, and print it this once.

    The former ones work on for --overlap, 24 hours if left out; 0s ends them at once.
    """
    used_id = inputs.request_id(request_id)
    api.out.note(f"request id {used_id} (repeat with --request-id)")
    call = api.clients.rotate_client_secret(
        client_id,
        overlap=None if overlap is None else inputs.duration(overlap),
        request_id=used_id,
        timeout=api.timeout,
    )
    rotated = api.run(call)
    api.out.value(rotated)
    if rotated.old_secret_expires_at is not None:
        ends = time_text(rotated.old_secret_expires_at)
        api.out.note(f"keep the secret; the former one works until {ends}")
    else:
        api.out.note("keep the secret; no former one works any more")


@api_command(app, "list")
def list_clients(
    api: Api,
    state: Annotated[StateWord | None, typer.Option(help="Only those in this state.")] = None,
) -> None:
    """List clients."""
    wanted = ClientState.UNSPECIFIED if state is None else ClientState[state.name]
    clients = api.clients.list_clients(state=wanted, page_size=PAGE, timeout=api.timeout)
    api.out.values(api.all(clients), _COLUMNS)


@api_command(app, "show")
def show(
    api: Api, client_id: Annotated[str, typer.Argument(help="Left out: the caller.")] = ""
) -> None:
    """Show one client."""
    api.out.value(api.run(api.clients.get_client(client_id, timeout=api.timeout)))


@api_command(app, "disable")
def disable(api: Api, client_id: ClientId, note: Note = "") -> None:
    """Disable a client and revoke its sessions and tokens. Its secrets are kept, and refused."""
    call = api.clients.disable_client(client_id, note=note, timeout=api.timeout)
    api.out.value(api.run(call))


@api_command(app, "enable")
def enable(api: Api, client_id: ClientId, note: Note = "") -> None:
    """Let a disabled client work again, with the secrets that it had."""
    call = api.clients.enable_client(client_id, note=note, timeout=api.timeout)
    api.out.value(api.run(call))


@api_command(app, "policy")
def policy(
    api: Api,
    client_id: ClientId,
    replace: Annotated[
        str | None,
        typer.Option("--set", help="Replace it as a whole by this file (- for stdin)."),
    ] = None,
    note: Note = "",
) -> None:
    """Print a client's policy as JSON, or replace it."""
    if replace is None:
        from tokenservice import policy_to_json

        found = api.run(api.clients.get_client(client_id, timeout=api.timeout))
        api.out.json(json.loads(policy_to_json(found.policy)))
        _warn_of_cookies(api.out, found)
        return
    call = api.clients.update_client_policy(
        client_id, inputs.read_policy(replace), note=note, timeout=api.timeout
    )
    changed = api.run(call)
    api.out.value(changed)
    _warn_of_cookies(api.out, changed.client)


operations.add_bootstrap_to(app)


def _warn_of_cookies(out: Output, client: Client) -> None:
    if client.longest_token > COOKIE_TOKEN_LENGTH and Platform.WEB in client.policy.platforms:
        out.note(
            f"warning: its tokens can have {client.longest_token} characters; browsers keep"
            f" cookies of {COOKIE_BYTES} bytes at most, name and attributes included"
        )
