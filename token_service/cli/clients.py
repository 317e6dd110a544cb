"""`token-service client`: the applications that use the service."""

from datetime import UTC
from typing import Annotated

import typer

from token_service.cli import inputs, operations, variables
from token_service.cli.api import Api
from token_service.cli.choices import PLATFORMS, PlatformWord
from token_service.cli.command import api_command, group
from token_service.cli.output import Output, as_dict, time_text
from token_service.cli.paging import all_pages
from token_service.cli.problems import CliError
from tokenservice.core.limits import COOKIE_BYTES, COOKIE_TOKEN_LENGTH
from tokenservice.v1 import client_policy_pb2
from tokenservice.v1 import client_service_pb2 as pb
from tokenservice.v1.types_pb2 import PLATFORM_WEB

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
    asked = client_policy_pb2.ClientPolicy(
        platforms=[PLATFORMS[word] for word in platform or []],
        audiences=audience or [],
        scopes=scope or [],
        protects_audiences=protects or [],
        permissions=permission or [],
        password_login=password_login,
    )
    if policy is not None:
        if asked != client_policy_pb2.ClientPolicy():
            raise CliError("give the policy as a file or as options, not both")
        asked = _read_policy(policy)
    request = pb.RegisterClientRequest(
        name=name, contact=contact, policy=asked, client_id=wanted_id
    )
    if wanted_id:
        api.anonymous = False
    api.out.message(api.call(api.clients.RegisterClient, request))
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
    request = pb.ReviewClientRequest(client_id=client_id, note=note)
    if approve:
        request.approve.SetInParent()
    else:
        request.reject.SetInParent()
    if policy is not None:
        request.policy.CopyFrom(_read_policy(policy))
    api.out.message(api.call(api.clients.ReviewClient, request))


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
    request = pb.CollectClientCredentialsRequest(
        client_id=client_id,
        registration_secret=inputs.read_token(source, "Registration secret"),
        request_id=inputs.request_id(request_id),
    )
    api.out.note(f"request id {request.request_id} (repeat with --request-id)")
    api.out.message(api.call(api.clients.CollectClientCredentials, request))
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
    request = pb.RotateClientSecretRequest(
        client_id=client_id, request_id=inputs.request_id(request_id)
    )
    if overlap is not None:
        request.overlap.CopyFrom(inputs.duration(overlap))
    api.out.note(f"request id {request.request_id} (repeat with --request-id)")
    reply = api.call(api.clients.RotateClientSecret, request)
    api.out.message(reply)
    if reply.HasField("old_secret_expires_at"):
        ends = time_text(reply.old_secret_expires_at.ToDatetime(UTC))
        api.out.note(f"keep the secret; the former one works until {ends}")
    else:
        api.out.note("keep the secret; no former one works any more")


@api_command(app, "list")
def list_clients(
    api: Api,
    state: Annotated[
        str, typer.Option(help="pending, approved, active, rejected or disabled.")
    ] = "",
) -> None:
    """List clients."""
    number = _state(state)

    def page(token: str) -> tuple[list[pb.Client], str]:
        request = pb.ListClientsRequest(state=number, page_size=500, page_token=token)
        reply = api.call(api.clients.ListClients, request)
        return list(reply.clients), reply.next_page_token

    api.out.messages(all_pages(page), _COLUMNS)


@api_command(app, "show")
def show(
    api: Api, client_id: Annotated[str, typer.Argument(help="Left out: the caller.")] = ""
) -> None:
    """Show one client."""
    request = pb.GetClientRequest(client_id=client_id)
    api.out.message(api.call(api.clients.GetClient, request).client)


@api_command(app, "disable")
def disable(api: Api, client_id: ClientId, note: Note = "") -> None:
    """Disable a client and revoke its sessions and tokens. Its secrets are kept, and refused."""
    request = pb.DisableClientRequest(client_id=client_id, note=note)
    api.out.message(api.call(api.clients.DisableClient, request))


@api_command(app, "enable")
def enable(api: Api, client_id: ClientId, note: Note = "") -> None:
    """Let a disabled client work again, with the secrets that it had."""
    request = pb.EnableClientRequest(client_id=client_id, note=note)
    api.out.message(api.call(api.clients.EnableClient, request).client)


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
        request = pb.GetClientRequest(client_id=client_id)
        found = api.call(api.clients.GetClient, request).client
        api.out.json(as_dict(found.policy))
        _warn_of_cookies(api.out, found)
        return
    change = pb.UpdateClientPolicyRequest(
        client_id=client_id, policy=_read_policy(replace), note=note
    )
    changed = api.call(api.clients.UpdateClientPolicy, change)
    api.out.message(changed)
    _warn_of_cookies(api.out, changed.client)


operations.add_bootstrap_to(app)


def _warn_of_cookies(out: Output, client: pb.Client) -> None:
    if client.longest_token > COOKIE_TOKEN_LENGTH and PLATFORM_WEB in client.policy.platforms:
        out.note(
            f"warning: its tokens can have {client.longest_token} characters; browsers keep"
            f" cookies of {COOKIE_BYTES} bytes at most, name and attributes included"
        )


def _read_policy(source: str) -> client_policy_pb2.ClientPolicy:
    return inputs.read_message(source, client_policy_pb2.ClientPolicy, "policy")


def _state(word: str) -> pb.ClientState.ValueType:
    try:
        return pb.ClientState.Value(f"CLIENT_STATE_{word.upper() or 'UNSPECIFIED'}")
    except ValueError:
        raise CliError(f"there is no state {word!r}") from None
