"""`token-service keys`: the keys by which tokens are made and recognised."""

from datetime import UTC
from typing import Annotated

import typer

from token_service.cli import inputs
from token_service.cli.api import Api
from token_service.cli.choices import PURPOSES, PurposeWord
from token_service.cli.command import api_command, group
from token_service.cli.output import ABSENT, enum_text, time_text
from token_service.cli.paging import all_pages
from tokenservice.v1 import key_service_pb2 as pb
from tokenservice.v1 import types_pb2

app = group("List, rotate and give up keys.")

Note = Annotated[str, typer.Option(help="For the audit record.")]

_HEADINGS = ("kid", "purpose", "state", "secret", "needs it until", "algorithm", "activates at")


_AFTER_ROTATION = {
    PurposeWord.SIGNING: "tokens of the former key are accepted until they expire",
    PurposeWord.OPAQUE: "tokens of the former key are accepted until they expire",
    PurposeWord.MINT: "sessions of the former key go on until they end",
    PurposeWord.PEPPER: "secrets and codes under the former pepper work on: each client's hash "
    "moves to the new one when the client calls, codes keep theirs until they expire",
}
_AFTER_COMPROMISE = {
    types_pb2.KEY_PURPOSE_SIGNING: "its tokens have ended; the sessions go on",
    types_pb2.KEY_PURPOSE_OPAQUE: "its tokens have ended; the sessions go on",
    types_pb2.KEY_PURPOSE_MINT: "the sessions have ended whose current token it made",
    types_pb2.KEY_PURPOSE_PEPPER: "nothing has ended: another pepper takes over, and each client's "
    "hash moves to it when the client calls",
}


@api_command(app, "list")
def list_keys(
    api: Api,
    purpose: Annotated[PurposeWord | None, typer.Option(help="Only those for this.")] = None,
) -> None:
    """List the keys, the newest first.

    Each key needs the configured secret of this id for as long as it says. `doctor` tells which
    secrets may be removed.
    """
    number = types_pb2.KEY_PURPOSE_UNSPECIFIED if purpose is None else PURPOSES[purpose]

    def page(token: str) -> tuple[list[pb.Key], str]:
        request = pb.ListKeysRequest(purpose=number, page_size=500, page_token=token)
        reply = api.call(api.keys.ListKeys, request)
        return list(reply.keys), reply.next_page_token

    keys = all_pages(page)
    if api.out.as_json:
        api.out.messages(keys, ())
    else:
        api.out.rows(_HEADINGS, [_row(key) for key in keys])


@api_command(app, "rotate")
def rotate(
    api: Api,
    purpose: Annotated[PurposeWord, typer.Argument(help="What the key is for.")],
    algorithm: Annotated[
        str, typer.Option(help="Of a signing key; left out, the server's default.")
    ] = "",
    note: Note = "",
) -> None:
    """Replace the active key of a purpose before its time.

    What the former key made goes on: its tokens until they expire, its sessions until they end,
    hashes under a pepper until each moves to the new one.
    """
    request = pb.RotateKeyRequest(purpose=PURPOSES[purpose], algorithm=algorithm, note=note)
    key = api.call(api.keys.RotateKey, request).key
    api.out.message(key)
    begins = time_text(key.activates_at.ToDatetime(UTC))
    api.out.note(f"it takes over at {begins}; {_AFTER_ROTATION[purpose]}")


@api_command(app, "compromise")
def compromise(
    api: Api,
    kid: Annotated[str, typer.Argument(help="Id of the key.")],
    note: Note = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Declare a key compromised: none of its tokens is accepted any more.

    With a mint key the sessions end whose current token it made. A pepper makes no tokens: it is
    only replaced, and the secrets that are hashed under it work on.
    """
    inputs.confirm(f"Take the key {kid} out of use, for good?", yes=yes)
    request = pb.CompromiseKeyRequest(kid=kid, note=note)
    reply = api.call(api.keys.CompromiseKey, request)
    api.out.message(reply)
    api.out.note(_AFTER_COMPROMISE[reply.key.purpose])


def _row(key: pb.Key) -> list[str]:
    purpose = enum_text(types_pb2.KeyPurpose.DESCRIPTOR, key.purpose)
    state = enum_text(types_pb2.KeyState.DESCRIPTOR, key.state)
    begins = time_text(key.activates_at.ToDatetime(UTC))
    return [key.kid, purpose, state, key.secret_key_id, _need(key), key.algorithm, begins]


def _need(key: pb.Key) -> str:
    """Until when the key needs its secret."""
    if key.state in (types_pb2.KEY_STATE_PENDING, types_pb2.KEY_STATE_ACTIVE):
        return "replaced, and after"
    if key.state != types_pb2.KEY_STATE_RETIRING:
        return ABSENT
    return time_text(key.retires_at.ToDatetime(UTC)) if key.HasField("retires_at") else "unused"
