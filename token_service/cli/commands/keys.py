"""`token-service keys`: the keys by which tokens are made and recognised."""

from typing import Annotated

import typer

from token_service.cli import inputs
from token_service.cli.calling.api import PAGE, Api
from token_service.cli.choices import PurposeWord
from token_service.cli.command import api_command, group
from token_service.cli.values import ABSENT, text_of, time_text
from tokenservice import Key, KeyPurpose, KeyState

app = group("List, rotate and give up keys.")

Note = Annotated[str, typer.Option(help="For the audit record.")]

_HEADINGS = ("kid", "purpose", "state", "secret", "needed until", "algorithm", "activates at")


_AFTER_ROTATION = {
    PurposeWord.SIGNING: "tokens of the former key are accepted until they expire",
    PurposeWord.OPAQUE: "tokens of the former key are accepted until they expire",
    PurposeWord.MINT: "sessions of the former key go on until they end",
    PurposeWord.PEPPER: "secrets and codes under the former pepper work on: each client's hash "
    "moves to the new one when the client calls, codes keep theirs until they expire",
}
_AFTER_COMPROMISE = {
    KeyPurpose.SIGNING: "its tokens have ended; the sessions go on",
    KeyPurpose.OPAQUE: "its tokens have ended; the sessions go on",
    KeyPurpose.MINT: "the sessions have ended whose current token it made",
    KeyPurpose.PEPPER: "nothing has ended: another pepper takes over, and each client's "
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
    kind = KeyPurpose.UNSPECIFIED if purpose is None else KeyPurpose[purpose.name]
    keys = api.all(api.keys.list_keys(purpose=kind, page_size=PAGE, timeout=api.timeout))
    if api.out.as_json:
        api.out.values(keys, ())
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
    key = api.run(
        api.keys.rotate_key(
            KeyPurpose[purpose.name], algorithm=algorithm, note=note, timeout=api.timeout
        )
    )
    api.out.value(key)
    api.out.note(f"it takes over at {time_text(key.activates_at)}; {_AFTER_ROTATION[purpose]}")


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
    changed = api.run(api.keys.compromise_key(kid, note=note, timeout=api.timeout))
    api.out.value(changed)
    api.out.note(_AFTER_COMPROMISE[changed.key.purpose])


def _row(key: Key) -> list[str]:
    columns = (key.purpose, key.state, key.secret_key_id)
    texts = [text_of(one) for one in columns]
    return [key.kid, *texts, _need(key), key.algorithm, time_text(key.activates_at)]


def _need(key: Key) -> str:
    """Until when the key needs its secret."""
    if key.state in (KeyState.PENDING, KeyState.ACTIVE):
        return "after its rotation"
    if key.state is not KeyState.RETIRING:
        return ABSENT
    return time_text(key.retires_at) if key.retires_at is not None else "it is unused"
