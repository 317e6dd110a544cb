"""`token-service trust`: the feed that validators follow."""

from collections.abc import Iterator
from datetime import UTC
from typing import Annotated

import typer

from token_service.cli.api import DEMO_GATEWAY, Api
from token_service.cli.command import api_command, group
from token_service.cli.output import as_dict, enum_text, time_text
from tokenservice.v1 import trust_service_pb2 as pb
from tokenservice.v1 import types_pb2

app = group("Follow the log of revocations.")


@app.callback()
def trust() -> None:
    """Follow the log of revocations."""


@api_command(app, "watch", caller=DEMO_GATEWAY)
def watch(
    api: Api,
    heartbeats: Annotated[
        bool, typer.Option("--heartbeats", help="Print signs of life too.")
    ] = False,
    epoch: Annotated[str, typer.Option(help="Continue in this log ...")] = "",
    from_revision: Annotated[int, typer.Option(min=0, help="... after this revision.")] = 0,
    until_revision: Annotated[
        int | None, typer.Option(min=0, help="End once the view has this revision.")
    ] = None,
) -> None:
    """Print the feed as it comes: one line per message, entry and key. Ctrl-C ends it."""
    request = pb.WatchTrustRequest(epoch=epoch, from_revision=from_revision)
    try:
        for message in api.watch(api.trust.WatchTrust, request):
            if heartbeats or not message.HasField("heartbeat"):
                _show(api, message)
            if until_revision is not None and _complete(message) >= until_revision:
                return
    except KeyboardInterrupt:
        return


def _show(api: Api, message: pb.WatchTrustResponse) -> None:
    if api.out.as_json:
        api.out.json(as_dict(message))
        return
    for line in lines_of(message):
        api.out.line(line)


def _complete(message: pb.WatchTrustResponse) -> int:
    """Return the revision that the view has after the message; 0 within a snapshot."""
    unfinished = message.HasField("snapshot") and not message.snapshot.last
    return 0 if unfinished else message.revision


def lines_of(message: pb.WatchTrustResponse) -> Iterator[str]:
    """Return what people read of one message."""
    at = time_text(message.read_time.ToDatetime(UTC))
    head = f"{at}  revision {message.revision}"
    keys: list[pb.TrustKey] = []
    entries: list[pb.TrustEntry] = []
    match message.WhichOneof("event"):
        case "snapshot":
            keys, entries = list(message.snapshot.keys), list(message.snapshot.entries)
            yield f"{head}  snapshot of log {message.epoch}"
        case "delta":
            delta = message.delta
            keys, entries = list(delta.keys), list(delta.entries)
            yield f"{head}  changes after {delta.from_revision}"
        case _:
            yield f"{head}  heartbeat"
    for key in keys:
        state = enum_text(types_pb2.KeyState.DESCRIPTOR, key.state)
        yield f"  key {key.kid} {key.alg} {state}"
    for entry in entries:
        yield f"  {_entry_text(entry)}"


def _entry_text(entry: pb.TrustEntry) -> str:
    effect = enum_text(pb.TrustEffect.DESCRIPTOR, entry.effect)
    kind = enum_text(pb.TrustEntryKind.DESCRIPTOR, entry.kind)
    reason = enum_text(types_pb2.RevocationReason.DESCRIPTOR, entry.reason)
    named = " ".join(filter(None, (kind, entry.id, entry.device_id)))
    return f"{entry.revision}: {effect} {named} ({reason})"
