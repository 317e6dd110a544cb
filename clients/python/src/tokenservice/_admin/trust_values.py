"""What TrustService gives to those who look at its feed. A validator follows it by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from tokenservice.core import KeyState, RevocationReason, TrustEffect, TrustEntryKind


@dataclass(frozen=True, slots=True)
class FeedKey:
    """A key by which tokens can be checked, unless it is ``server_only`` (HS256). ``public_key`` is
    DER SubjectPublicKeyInfo (RFC 5280, section 4.1)."""

    kid: str
    alg: str
    public_key: bytes
    server_only: bool
    state: KeyState


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedEntry:
    """An entry of the log of revocations.

    ``kind`` and ``id`` say which tokens it is about, ``effect`` what happens to them. It may be
    forgotten after ``keep_until``.
    """

    revision: int
    kind: TrustEntryKind
    id: str
    device_id: str
    effect: TrustEffect
    keep_until: datetime
    reason: RevocationReason


@dataclass(frozen=True, slots=True)
class FeedSnapshot:
    """Part of the log as it is; the ``last`` part completes it."""

    keys: tuple[FeedKey, ...]
    entries: tuple[FeedEntry, ...]
    last: bool


@dataclass(frozen=True, slots=True)
class FeedDelta:
    """What changed after ``from_revision``; ``keys`` are all there are when ``keys_changed``."""

    from_revision: int
    entries: tuple[FeedEntry, ...]
    keys: tuple[FeedKey, ...]
    keys_changed: bool


@dataclass(frozen=True, slots=True)
class FeedHeartbeat:
    """Nothing changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedMessage:
    """One message of the feed: a part of a snapshot, a delta or a heartbeat.

    ``epoch`` names the log and ``revision`` the place in it that the view has reached then; the log
    was read from the database at ``read_time``, the message was sent at ``server_time``.
    """

    epoch: str
    revision: int
    read_time: datetime
    server_time: datetime
    issuer: str
    snapshot: FeedSnapshot | None
    delta: FeedDelta | None
    heartbeat: FeedHeartbeat | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustView:
    """The log as it was at ``revision``, read from the database at ``read_time``."""

    epoch: str
    revision: int
    read_time: datetime
    issuer: str
    keys: tuple[FeedKey, ...]
    entries: tuple[FeedEntry, ...]
