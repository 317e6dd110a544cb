"""The feed's messages in the terms of the pure core.

An unknown kind or effect raises ValueError: an entry that cannot be honoured must not be skipped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenservice.core import (
    KeyState,
    RevocationReason,
    TrustEffect,
    TrustEntry,
    TrustEntryKind,
    TrustKey,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.timestamp_pb2 import Timestamp

    from tokenservice.v1 import trust_service_pb2 as pb

# Lists of a hundred thousand entries are read: looking up costs less than an enum's constructor.
# UNSPECIFIED is in neither: it is never sent, and no better known than a number of the future.
_KINDS: Final[dict[int, TrustEntryKind]] = {int(kind): kind for kind in TrustEntryKind if kind}
_EFFECTS: Final[dict[int, TrustEffect]] = {int(effect): effect for effect in TrustEffect if effect}
_REASONS: Final[dict[int, RevocationReason]] = {int(reason): reason for reason in RevocationReason}
_STATES: Final[dict[int, KeyState]] = {int(state): state for state in KeyState}


def entries_of(messages: Iterable[pb.TrustEntry]) -> Iterator[TrustEntry]:
    """Read entries. Raises ValueError."""
    for message in messages:
        try:
            kind, effect = _KINDS[message.kind], _EFFECTS[message.effect]
        except KeyError:
            raise ValueError("trust entry: unknown kind or effect") from None
        yield TrustEntry(
            revision=message.revision,
            kind=kind,
            id=message.id,
            device_id=message.device_id,
            effect=effect,
            keep_until=seconds_of(message.keep_until),
            # For people to read: one from a newer server changes nothing.
            reason=_REASONS.get(message.reason, RevocationReason.UNSPECIFIED),
        )


def keys_of(messages: Iterable[pb.TrustKey]) -> list[TrustKey]:
    """Read keys. One in an unknown state checks nothing (it is not among the verifiable)."""
    return [
        TrustKey(
            message.kid,
            message.alg,
            message.public_key,
            message.server_only,
            _STATES.get(message.state, KeyState.UNSPECIFIED),
        )
        for message in messages
    ]


def seconds_of(timestamp: Timestamp) -> float:
    """Unix seconds."""
    return timestamp.seconds + timestamp.nanos * 1e-9
