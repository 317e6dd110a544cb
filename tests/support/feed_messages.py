"""Messages of the trust feed, made by hand."""

from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from tests.support.tokens import ISSUER, KID
from tokenservice.core import TrustEntry
from tokenservice.v1 import trust_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

EPOCH = "2b1c1d5e-0000-4000-8000-000000000001"
OTHER_EPOCH = "2b1c1d5e-0000-4000-8000-000000000002"


def stamp(seconds: float) -> Timestamp:
    whole = int(seconds // 1)
    return Timestamp(seconds=whole, nanos=int((seconds - whole) * 1e9))


def message(
    revision: int,
    read_time: float,
    server_time: float | None = None,
    *,
    epoch: str = EPOCH,
    issuer: str = ISSUER,
) -> pb.WatchTrustResponse:
    """The head of a message; without a server time it was sent when the log was read."""
    sent = read_time if server_time is None else server_time
    return pb.WatchTrustResponse(
        epoch=epoch,
        revision=revision,
        read_time=stamp(read_time),
        server_time=stamp(sent),
        issuer=issuer,
    )


def heartbeat(head: pb.WatchTrustResponse) -> pb.WatchTrustResponse:
    head.heartbeat.SetInParent()
    return head


def delta(
    head: pb.WatchTrustResponse,
    from_revision: int,
    entries: Iterable[TrustEntry] = (),
    keys: Iterable[pb.TrustKey] | None = None,
) -> pb.WatchTrustResponse:
    head.delta.from_revision = from_revision
    head.delta.entries.extend(map(entry_message, entries))
    if keys is not None:
        head.delta.keys.extend(keys)
        head.delta.keys_changed = True
    return head


def snapshot(
    head: pb.WatchTrustResponse,
    entries: Iterable[TrustEntry] = (),
    keys: Iterable[pb.TrustKey] = (),
    *,
    last: bool = True,
) -> pb.WatchTrustResponse:
    head.snapshot.entries.extend(map(entry_message, entries))
    head.snapshot.keys.extend(keys)
    head.snapshot.last = last
    return head


def key_message(kid: str = KID, public_key: bytes = b"der") -> pb.TrustKey:
    return pb.TrustKey(kid=kid, alg="EdDSA", public_key=public_key, state=types.KEY_STATE_ACTIVE)


def entry_message(entry: TrustEntry) -> pb.TrustEntry:
    return pb.TrustEntry(
        revision=entry.revision,
        kind=int(entry.kind),  # type: ignore[arg-type] # the numbers are the same
        id=entry.id,
        device_id=entry.device_id,
        effect=int(entry.effect),  # type: ignore[arg-type]
        keep_until=stamp(entry.keep_until),
        reason=int(entry.reason),  # type: ignore[arg-type]
    )
