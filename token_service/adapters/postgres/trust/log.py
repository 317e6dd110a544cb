"""The trust log: the one place that writes it, reads it and shortens it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from asyncpg import Record

from token_service.adapters.postgres.fencing import ON_KNOWN_TIMELINE, LogMovedError
from token_service.adapters.postgres.pool import Connection
from token_service.adapters.postgres.removal import removal_of
from token_service.adapters.postgres.trust_head import QUEUED, headless
from token_service.domain.errors import store_unavailable
from token_service.domain.kinds import RevocationReason, TrustEffect, TrustEntryKind
from token_service.domain.trust.reading import Lineage, TrustReading
from tokenservice.core import TrustEntry

CHANNEL = "trust"
"""What is notified on every change of the head."""

_MARGIN = timedelta(seconds=60)
"""An entry stays this much longer than the longest access token: clocks, statements in flight."""


@dataclass(frozen=True, slots=True)
class NewEntry:
    """An entry that has no revision yet. Raises ValueError when validators could not honour it:
    one such entry would stop every follower of the log."""

    kind: TrustEntryKind
    id: str
    device_id: str
    effect: TrustEffect
    reason: RevocationReason

    def __post_init__(self) -> None:
        TrustEntry(
            revision=1,
            kind=self.kind,
            id=self.id,
            device_id=self.device_id,
            effect=self.effect,
            keep_until=0.0,
            reason=self.reason,
        ).check()


def appending(
    entries: str,
    *,
    now: str,
    config: str = "0",
    keys: str = "0",
    longest: str = "NULL::interval",
    when: str = "true",
) -> str:
    """CTEs that give `entries` the next revisions, in order, where `when` holds.

    `entries` is a CTE with the columns kind, id, device_id, effect, reason and place (from 1 on).
    Of its rows come `head` (the revision after), empty where nothing was appended, and `numbered`:
    the entries with `rev`. Nothing is on a server that succeeded another one and was not looked at
    yet. The head's lock must be the last one: what is locked besides has to be
    so by the CTEs that `entries` reads. What the change writes, it reads from `head` or
    `numbered`, and so does not write where nothing is appended. `when`, `config` and `keys` (by
    how much these versions move) may use e.n, the number of entries, and e.keys, of those that
    revoke keys. An EVERYTHING entry that revokes moves the global `valid_rev` too. `longest`
    raises the time for which entries are kept from now on.
    """
    revokes = f"effect = {TrustEffect.REVOKE}"
    return f"""head AS (
    UPDATE trust_head h
    SET revision = h.revision + e.n,
        valid_rev = COALESCE(h.revision + e.everything, h.valid_rev),
        config_version = h.config_version + {config},
        keys_version = h.keys_version + {keys},
        longest_access = GREATEST(h.longest_access, {longest})
    FROM (SELECT count(*) AS n,
                 max(place) FILTER (WHERE kind = {TrustEntryKind.EVERYTHING} AND {revokes})
                     AS everything,
                 count(*) FILTER (WHERE kind = {TrustEntryKind.KEY} AND {revokes}) AS keys
          FROM {entries}) AS e
    WHERE {ON_KNOWN_TIMELINE} AND CASE WHEN {when} THEN {QUEUED} END
    RETURNING h.revision, h.longest_access, e.n
), numbered AS MATERIALIZED (
    SELECT e.*, head.revision - head.n + e.place AS rev,
           {now}::timestamptz + head.longest_access + interval '{_MARGIN.seconds} seconds'
               AS keep_until
    FROM head, {entries} AS e
), logged AS (
    INSERT INTO trust_log (revision, kind, id, device_id, effect, reason, keep_until)
    SELECT rev, kind, id, device_id, effect, reason, keep_until FROM numbered
)"""  # noqa: S608 - constants, here and below


NO_ENTRY = """0::smallint AS kind, '' AS id, '' AS device_id, 0::smallint AS effect,
    0::smallint AS reason, 0::bigint AS place WHERE false"""
"""The columns of `entries` for what moves versions alone."""

NOTIFIED = f"(SELECT pg_notify('{CHANNEL}', '') FROM head)"  # noqa: S608
"""A column of the statement that appends: it wakes the followers of the log."""

_APPEND = f"""
WITH entries AS MATERIALIZED (
    SELECT * FROM unnest($1::smallint[], $2::text[], $3::text[], $4::smallint[], $5::smallint[])
         WITH ORDINALITY AS entry (kind, id, device_id, effect, reason, place)
), {appending("entries", now="$6", config="$7::int", keys="$8::int", longest="$9::interval")}
SELECT revision, {NOTIFIED} FROM head
"""  # noqa: S608


async def append(
    conn: Connection,
    entries: Sequence[NewEntry],
    *,
    now: datetime,
    bump_config: bool = False,
    bump_keys: bool = False,
    longest_access: timedelta | None = None,
) -> int:
    """Give `entries` the next revisions, in order, in the caller's transaction; the head after.

    Takes the head's lock, which must be the transaction's last one: lock the rows that the
    entries speak of before, and set their `valid_rev` to the revisions afterwards. Entry i of n
    has revision `result - n + 1 + i`. An EVERYTHING entry that revokes moves the global
    `valid_rev` too. `longest_access` raises the time for which entries are kept from now on.
    Raises LogMovedError on a server that succeeded another one and was not looked at yet:
    `retry_deadlock` sees to that and runs the transaction again.
    """
    row = await conn.fetchrow(
        _APPEND,
        [entry.kind for entry in entries],
        [entry.id for entry in entries],
        [entry.device_id for entry in entries],
        [entry.effect for entry in entries],
        [entry.reason for entry in entries],
        now,
        int(bump_config),
        int(bump_keys),
        longest_access,
    )
    if row is None:
        raise LogMovedError
    return int(row["revision"])


PAGE = 10_000
"""Entries that one statement reads: a small part of what its time limit allows."""

_ENTRY = """revision, kind, id, device_id, effect, reason,
       extract(epoch FROM keep_until)::float8 AS keep_until"""
_READ = f"""
SELECT h.epoch, h.revision AS head_revision, h.valid_rev, h.config_version, h.keys_version,
       h.system_identifier, h.timeline,
       (SELECT trust_system_identifier()) AS server_system_identifier,
       (SELECT trust_timeline()) AS server_timeline,
       b.beat, b.synchronous, extract(epoch FROM b.beaten_at)::float8 AS beaten_at,
       pg_is_in_recovery() AS in_recovery,
       extract(epoch FROM clock_timestamp())::float8 AS db_time, l.*
FROM trust_head h LEFT JOIN trust_beat b ON true LEFT JOIN LATERAL (
    SELECT {_ENTRY} FROM trust_log WHERE revision > $1 ORDER BY revision LIMIT $2
) l ON true
ORDER BY l.revision
"""  # noqa: S608 - constants, here and below
_NEXT = f"""
SELECT {_ENTRY} FROM trust_log WHERE revision > $1 AND revision <= $2 ORDER BY revision LIMIT $3
"""  # noqa: S608


async def read(
    conn: Connection,
    since_revision: int,
    *,
    boot: Callable[[], float],
    within: float,
    page: int = PAGE,
) -> TrustReading:
    """The head and all entries above `since_revision`, as of one moment.

    One round trip where they fit into a `page`. What is left is read by further statements up to
    the revision that the head had: entries are committed in the order of their revisions and never
    change, so those belong to the same state, and no snapshot is held meanwhile. Each statement
    may take `within` seconds, however long the log is; `boot` is the clock that also runs during
    suspend. Raises STORE_UNAVAILABLE on a standby, whose answer may be arbitrarily old, and else
    what the driver raises.
    """
    sent = boot()
    rows = await conn.fetch(_READ, since_revision, page, timeout=within)
    received = boot()
    head = _head(rows[0] if rows else None)
    if head["in_recovery"]:
        raise store_unavailable()
    found = [_entry(row) for row in rows if row["revision"] is not None]
    entries = list(found)
    while len(found) == page:
        last, revision = found[-1].revision, head["head_revision"]
        rows = await conn.fetch(_NEXT, last, revision, page, timeout=within)
        found = [_entry(row) for row in rows]
        entries += found
    return TrustReading(
        epoch=str(head["epoch"]),
        revision=head["head_revision"],
        valid_rev=head["valid_rev"],
        config_version=head["config_version"],
        keys_version=head["keys_version"],
        entries=tuple(entries),
        since_revision=since_revision,
        db_time=head["db_time"],
        sent_boot=sent,
        received_boot=received,
        beat=head["beat"],
        # Both times are the primary's. It may have been set back since the beat.
        beaten_boot=sent - max(0.0, head["db_time"] - head["beaten_at"]),
        synchronous=head["synchronous"],
        server=Lineage(head["server_system_identifier"], head["server_timeline"]),
        recorded=Lineage(head["system_identifier"], head["timeline"]),
    )


REMOVE = removal_of("trust_log", "keep_until")
"""Of entries that can kill nothing any more."""


def _head(row: Record | None) -> Record:
    if row is None:
        raise headless()
    return row


def _entry(row: Record) -> TrustEntry:
    return TrustEntry(
        revision=row["revision"],
        kind=TrustEntryKind(row["kind"]),
        id=row["id"],
        device_id=row["device_id"],
        effect=TrustEffect(row["effect"]),
        keep_until=row["keep_until"],
        reason=RevocationReason(row["reason"]),
    )
