"""`token-service trust`: the feed that validators follow."""

from collections.abc import Iterator
from typing import Annotated

import typer

from token_service.cli.calling.api import DEMO_GATEWAY, Api
from token_service.cli.command import api_command, group
from token_service.cli.values import as_json, text_of, time_text
from tokenservice import FeedEntry, FeedMessage

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
    try:
        for message in api.each(api.trust.watch_trust(epoch=epoch, from_revision=from_revision)):
            if heartbeats or message.heartbeat is None:
                _show(api, message)
            if until_revision is not None and _complete(message) >= until_revision:
                return
    except KeyboardInterrupt:
        return


def _show(api: Api, message: FeedMessage) -> None:
    if api.out.as_json:
        api.out.json(as_json(message))
        return
    for line in lines_of(message):
        api.out.line(line)


def _complete(message: FeedMessage) -> int:
    """Return the revision that the view has after the message; 0 within a snapshot."""
    unfinished = message.snapshot is not None and not message.snapshot.last
    return 0 if unfinished else message.revision


def lines_of(message: FeedMessage) -> Iterator[str]:
    """Return what people read of one message."""
    head = f"{time_text(message.read_time)}  revision {message.revision}"
    part = message.snapshot or message.delta
    if message.snapshot is not None:
        yield f"{head}  snapshot of log {message.epoch}"
    elif message.delta is not None:
        yield f"{head}  changes after {message.delta.from_revision}"
    else:
        yield f"{head}  heartbeat"
    for key in part.keys if part else ():
        yield f"  key {key.kid} {key.alg} {text_of(key.state)}"
    for entry in part.entries if part else ():
        yield f"  {_entry_text(entry)}"


def _entry_text(entry: FeedEntry) -> str:
    named = " ".join(filter(None, (text_of(entry.kind), entry.id, entry.device_id)))
    return f"{entry.revision}: {text_of(entry.effect)} {named} ({text_of(entry.reason)})"
