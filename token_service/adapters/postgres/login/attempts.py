"""Guessable attempts, counted where a restart of anything does not forget them."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from asyncpg import Record

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.locked import RowLocked, until_free
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.removal import Removal, removal_of
from token_service.domain import durability
from token_service.domain.audit import AuditEvent
from token_service.domain.ports import AttemptBucket, LoginLocks, Standing

NOTED_EVERY, NOTED_MOST = 10, 100
"""Which failures in a window leave an audit row, besides the first and the one that locks."""

# A bucket that is full is locked until its window ends; what filled it moved that end to its own
# time plus the lock, and wrote it into `locked_until` for the inserts that check it again.
#
# What is decided on is what the lock returned: the statement's own snapshot may be older, and a
# condition on it would skip rows for good. While somebody else holds one of the rows, nothing is
# counted, and it is asked again.
#
# One full bucket, and none of the others counts: whoever is locked out for one address must not
# be able to lock out all. A row that others made and filled meanwhile is not in the snapshot: it
# comes up when the insert meets it, and then is missing from the answer.
_HELD = """held AS MATERIALIZED (
    SELECT bucket, failures, window_ends_at FROM attempts
    WHERE bucket = ANY ($1::bytea[]) FOR NO KEY UPDATE SKIP LOCKED
), locked AS MATERIALIZED (
    SELECT bucket FROM attempts
    WHERE bucket = ANY ($1::bytea[]) AND bucket NOT IN (SELECT bucket FROM held)
)"""
_COUNT = f"""
WITH wanted AS (
    SELECT * FROM unnest($1::bytea[], $2::integer[], $3::interval[], $4::interval[],
                         $6::text[], $7::boolean[]) WITH ORDINALITY
                  AS w (bucket, allowed, span, lock, name, noted, place)
), {_HELD}, closed AS (
    SELECT h.bucket, h.window_ends_at
    FROM held h JOIN wanted w ON w.bucket = h.bucket
    WHERE h.failures >= w.allowed AND h.window_ends_at > $5::timestamptz
), counted AS (
    INSERT INTO attempts AS a (bucket, failures, window_ends_at, locked_until)
    SELECT bucket, 1, $5::timestamptz + CASE WHEN allowed <= 1 THEN lock ELSE span END,
           CASE WHEN allowed <= 1 THEN $5::timestamptz + lock END
    FROM wanted
    WHERE NOT EXISTS (SELECT FROM closed) AND NOT EXISTS (SELECT FROM locked) ORDER BY bucket
    ON CONFLICT (bucket) DO UPDATE
    SET (failures, window_ends_at, locked_until) = (
        SELECT n.failures,
               CASE WHEN n.failures >= w.allowed THEN $5::timestamptz + w.lock
                    WHEN n.failures = 1 THEN $5::timestamptz + w.span
                    ELSE a.window_ends_at END,
               CASE WHEN n.failures >= w.allowed THEN $5::timestamptz + w.lock END
        FROM wanted w, LATERAL (
            SELECT CASE WHEN a.window_ends_at <= $5::timestamptz THEN 1 ELSE a.failures + 1 END
                   AS failures) AS n
        WHERE w.bucket = EXCLUDED.bucket)
    WHERE a.window_ends_at <= $5::timestamptz
       OR a.failures < (SELECT allowed FROM wanted w WHERE w.bucket = EXCLUDED.bucket)
    RETURNING bucket, failures, locked_until
)
"""  # noqa: S608 - constants, here and below
_ANSWER = """
SELECT bucket, window_ends_at AS opens_at, false AS locked FROM closed
UNION ALL SELECT bucket, NULL, false FROM counted
UNION ALL SELECT bucket, NULL, true FROM locked
"""
_RESERVE = _COUNT + _ANSWER

# One row for an attempt, if any; none for one that is given back, as some bucket was missing.
_WORTH_A_ROW = f"""(
    SELECT string_agg(name || '=' || failures, ' ' ORDER BY place) || coalesce(string_agg(
               ' full=' || name || ' until='
               || to_char(locked_until AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
               '' ORDER BY place) FILTER (WHERE locked_until IS NOT NULL), '') AS counts
    FROM counted JOIN wanted USING (bucket)
    HAVING count(*) = cardinality($1::bytea[])
       AND bool_or(locked_until IS NOT NULL
                   OR noted AND failures <= {NOTED_MOST}
                      AND (failures = 1 OR failures % {NOTED_EVERY} = 0))
) AS worth_a_row"""  # noqa: S608 - a constant
_RESERVE_NOTED = f"""{_COUNT}, audited AS (
    {audit_log.insert_from(_WORTH_A_ROW, 8, more_details="counts")}
)
{_ANSWER}"""

# A bucket of its own is the prefix, those for single addresses begin with it.
_LOCKS = """
SELECT coalesce(max(failures) FILTER (WHERE bucket = $1), 0) AS failures,
       max(locked_until) FILTER (WHERE bucket = $1) AS locked_until,
       count(*) FILTER (WHERE bucket <> $1 AND locked_until > $3) AS locked_addresses,
       max(locked_until) FILTER (WHERE bucket <> $1) AS addresses_locked_until
FROM attempts
WHERE bucket >= $1::bytea AND ($2::bytea IS NULL OR bucket < $2::bytea)
  AND window_ends_at > $3::timestamptz
"""

# What filled the bucket and turns out well gives back the lock, too: failures count, and so does
# the window, but from that attempt on.
_GIVE_BACK = f"""
WITH given AS (
    SELECT * FROM unnest($1::bytea[], $2::integer[], $3::interval[], $4::interval[], $5::boolean[])
                  AS g (bucket, allowed, span, lock, emptied)
), {_HELD}, left_over AS (
    SELECT h.bucket,
           CASE WHEN g.emptied THEN 0 ELSE h.failures - 1 END AS failures,
           CASE WHEN h.failures >= g.allowed THEN h.window_ends_at - g.lock + g.span
                ELSE h.window_ends_at END AS window_ends_at
    FROM held h JOIN given g ON g.bucket = h.bucket WHERE NOT EXISTS (SELECT FROM locked)
), dropped AS (
    DELETE FROM attempts a USING left_over l WHERE a.bucket = l.bucket AND l.failures <= 0
), changed AS (
    UPDATE attempts a
    SET failures = l.failures, window_ends_at = l.window_ends_at, locked_until = NULL
    FROM left_over l WHERE a.bucket = l.bucket AND l.failures > 0
)
SELECT EXISTS (SELECT FROM locked) AS locked
"""  # noqa: S608

_STANDING = """
SELECT max(a.window_ends_at) FILTER (WHERE a.failures >= w.allowed) AS opens_at,
       count(*) FILTER (WHERE w.emptied) AS to_clear
FROM unnest($1::bytea[], $2::integer[], $3::boolean[]) AS w (bucket, allowed, emptied)
JOIN attempts a ON a.bucket = w.bucket
WHERE a.window_ends_at > $4::timestamptz
"""

_OF_PREFIX = "bucket >= $1::bytea AND ($2::bytea IS NULL OR bucket < $2::bytea)"
_UNLOCK = f"""
WITH held AS MATERIALIZED (
    SELECT bucket FROM attempts WHERE {_OF_PREFIX} FOR UPDATE SKIP LOCKED
), locked AS MATERIALIZED (
    SELECT bucket FROM attempts
    WHERE {_OF_PREFIX} AND bucket NOT IN (SELECT bucket FROM held)
), unlocked AS MATERIALIZED (
    SELECT 1 WHERE NOT EXISTS (SELECT FROM locked)
), dropped AS (
    DELETE FROM attempts a USING held, unlocked WHERE a.bucket = held.bucket
), audited AS ({audit_log.insert_from("unlocked", 3)})
SELECT EXISTS (SELECT FROM locked) AS locked
"""  # noqa: S608

_REMOVE = removal_of("attempts", "window_ends_at")


class Attempts:
    """`domain.ports.Attempts` on PostgreSQL. One statement each, committed when it returns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.removal = Removal(database, _REMOVE)
        """Of buckets whose window and lock have ended."""

    async def reserve(
        self, buckets: Sequence[AttemptBucket], now: datetime, audit: AuditEvent | None = None
    ) -> timedelta | None:
        """Count one attempt in each bucket; or, when one is full, in none, and the time until all
        of them are open again."""
        wanted = _distinct(buckets)
        if not wanted:
            return None
        rows = await self._count(wanted, now, audit)
        closed = _closed(rows)
        if closed:
            wait: timedelta = max(closed) - now
            return wait
        if len(rows) == len(wanted):
            durability.note_commit()
            return None
        counted = {row["bucket"] for row in rows}
        await self._give_back([one for one in wanted if one.key in counted], reset=False)
        return await self.reserve(wanted, now, audit)  # what was met is in the next snapshot

    async def _count(
        self, wanted: Sequence[AttemptBucket], now: datetime, audit: AuditEvent | None
    ) -> list[Record]:
        names = [bucket.name for bucket in wanted], [bucket.noted for bucket in wanted]
        args = (*_columns(wanted), now, *names, *(audit_log.args(audit) if audit else ()))
        sql = _RESERVE_NOTED if audit else _RESERVE
        return await self._ask(sql, *args)

    async def locks(self, prefix: bytes, now: datetime) -> LoginLocks:
        """What was counted in the bucket `prefix` and in those whose keys begin with it."""
        row = await self._database.fetchrow(_LOCKS, prefix, _next_prefix(prefix), now)
        return LoginLocks(**row) if row else LoginLocks()

    async def standing(self, buckets: Sequence[AttemptBucket], now: datetime) -> Standing:
        """How the buckets stand, counting nothing. One indexed read."""
        row = await self._database.fetchrow(
            _STANDING,
            [bucket.key for bucket in buckets],
            [bucket.limit for bucket in buckets],
            [bucket.reset for bucket in buckets],
            now,
        )
        opens_at = row["opens_at"] if row else None
        return Standing(
            wait=opens_at - now if opens_at is not None else None,
            failed_before=bool(row and row["to_clear"]),
        )

    async def clear(self, buckets: Sequence[AttemptBucket]) -> None:
        """The attempt was good: buckets with `reset` are emptied, the others give it back."""
        await self._give_back(_distinct(buckets), reset=True)

    async def unlock(self, prefix: bytes, audit: AuditEvent) -> None:
        """Forget every bucket whose key begins with `prefix`; writes the audit row with it."""
        if not prefix:
            raise ValueError("an empty prefix would unlock everyone")
        args = (prefix, _next_prefix(prefix), *audit_log.args(audit))
        await self._ask(_UNLOCK, *args)

    async def _give_back(self, buckets: Sequence[AttemptBucket], *, reset: bool) -> None:
        if not buckets:
            return
        emptied = [reset and bucket.reset for bucket in buckets]
        await self._ask(_GIVE_BACK, *_columns(buckets), emptied)

    async def _ask(self, sql: str, *args: object) -> list[Record]:
        """The rows of a statement that tells which buckets are locked, once none is, or one is
        full."""

        async def attempt() -> list[Record]:
            rows = await self._database.fetch(sql, *args)
            if any(row["locked"] for row in rows) and not _closed(rows):
                raise RowLocked
            return rows

        return await until_free(attempt, self._database)


def _closed(rows: Iterable[Record]) -> list[datetime]:
    """When the buckets that are full open again."""
    return [row["opens_at"] for row in rows if row.get("opens_at") is not None]


def _distinct(buckets: Iterable[AttemptBucket]) -> list[AttemptBucket]:
    return list({bucket.key: bucket for bucket in buckets}.values())


def _next_prefix(prefix: bytes) -> bytes | None:
    """The first key after all those with `prefix`; None when there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def _columns(buckets: Sequence[AttemptBucket]) -> tuple[list[object], ...]:
    return (
        [bucket.key for bucket in buckets],
        [bucket.limit for bucket in buckets],
        [bucket.window for bucket in buckets],
        [bucket.lock for bucket in buckets],
    )
