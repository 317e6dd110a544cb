"""`token-service keys`: the keys by which tokens are made and recognised."""

from typing import Annotated

import typer

from token_service.cli import inputs
from token_service.cli.api import Api
from token_service.cli.choices import PURPOSES, PurposeWord
from token_service.cli.command import api_command, group
from token_service.cli.paging import all_pages
from tokenservice.v1 import key_service_pb2 as pb
from tokenservice.v1 import types_pb2

app = group("List, rotate and give up keys.")

Note = Annotated[str, typer.Option(help="For the audit record.")]

_COLUMNS = ("kid", "purpose", "algorithm", "state", "created_at", "activates_at", "retires_at")


@api_command(app, "list")
def list_keys(
    api: Api,
    purpose: Annotated[PurposeWord | None, typer.Option(help="Only those for this.")] = None,
) -> None:
    """List the keys, the newest first."""
    number = types_pb2.KEY_PURPOSE_UNSPECIFIED if purpose is None else PURPOSES[purpose]

    def page(token: str) -> tuple[list[pb.Key], str]:
        request = pb.ListKeysRequest(purpose=number, page_size=500, page_token=token)
        reply = api.call(api.keys.ListKeys, request)
        return list(reply.keys), reply.next_page_token

    api.out.messages(all_pages(page), _COLUMNS)


@api_command(app, "rotate")
def rotate(
    api: Api,
    purpose: Annotated[PurposeWord, typer.Argument(help="What the key is for.")],
    algorithm: Annotated[
        str, typer.Option(help="Of a signing key; left out, the server's default.")
    ] = "",
    note: Note = "",
) -> None:
    """Replace the active key of a purpose before its time."""
    request = pb.RotateKeyRequest(purpose=PURPOSES[purpose], algorithm=algorithm, note=note)
    api.out.message(api.call(api.keys.RotateKey, request).key)


@api_command(app, "compromise")
def compromise(
    api: Api,
    kid: Annotated[str, typer.Argument(help="Id of the key.")],
    note: Note = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Declare a key compromised: none of its tokens is accepted any more."""
    inputs.confirm(f"Take the key {kid} out of use, for good?", yes=yes)
    request = pb.CompromiseKeyRequest(kid=kid, note=note)
    api.out.message(api.call(api.keys.CompromiseKey, request))
