"""Rows whose time is over, removed in batches by one process at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from token_service.adapters.postgres.pool import Database

REMOVAL_LOCK = 0x746B_7377
"""The advisory lock of a batch: whoever finds it taken leaves the work to its holder."""

LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)
"""To begin with the oldest rows that there are."""

_NOTHING = timedelta(0)


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of one: rows looked at, rows removed, and the time up to which it came."""

    seen: int
    removed: int
    reached: datetime


class Removal:
    """The rows of one table whose time is over."""

    def __init__(
        self,
        database: Database,
        statement: str,
        *,
        kept: timedelta = _NOTHING,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        """`statement` is `removal_of` a table, or has its parameters and columns. Rows are `kept`
        for so long after their time, and none goes while it is not `allowed`."""
        self._database = database
        self.statement = statement
        self._kept = kept
        self._allowed = allowed

    async def __call__(self, now: datetime, limit: int, since: datetime = LONG_AGO) -> Batch | None:
        """Look at the `limit` oldest rows whose time came at `since` or later and is over at `now`,
        and remove those that nothing keeps; rows that are locked stay. None: another process is at
        it. Raises STORE_UNAVAILABLE.
        """
        if not self._allowed():
            return Batch(0, 0, since)
        row = await self._database.fetchrow(
            self.statement, max(now - self._kept, LONG_AGO), limit, since
        )
        if row is None or not row["mine"]:
            return None
        return Batch(row["seen"], row["removed"], row["reached"] or since)


# A batch that is lost in a crash is removed again, so nobody has to wait for its commit.
MINE = f"""mine AS MATERIALIZED (
    SELECT pg_try_advisory_xact_lock({REMOVAL_LOCK}) AS it,
           set_config('synchronous_commit', 'off', true)
)"""
"""The first part of a statement that removes, with what has to hold of `it`."""


def removal_of(table: str, over_at: str, *, key: str = "NULL", unless: str = "") -> str:
    """The statement of a `Removal`, by the index on `over_at`. The query `unless` gives the `key`s
    of rows that stay; it may use `$1`, the time, and `seen (place, key, over_at)`.

    What is looked at is bounded, not what is removed. Rows are found again by their place, which is
    far cheaper than by a key that is random; one that was changed meanwhile has another place, and
    stays. Locked rows are skipped: nothing waits here, nothing takes part in a deadlock.
    """
    stay = f", stay (key) AS MATERIALIZED ({unless})" if unless else ""
    goes = "WHERE NOT EXISTS (SELECT FROM stay WHERE stay.key = seen.key)" if unless else ""
    return f"""
WITH {MINE}, seen AS MATERIALIZED (
    SELECT ctid AS place, {key} AS key, {over_at} AS over_at FROM {table}
    WHERE {over_at} BETWEEN $3 AND $1::timestamptz AND (SELECT it FROM mine)
    ORDER BY {over_at} LIMIT $2
){stay}, free AS MATERIALIZED (
    SELECT ctid AS place FROM {table}
    WHERE ctid = ANY (ARRAY(SELECT place FROM seen {goes})) AND {over_at} <= $1
    FOR UPDATE SKIP LOCKED
), removed AS (
    DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT place FROM free)) AND {over_at} <= $1
    RETURNING 1
)
SELECT (SELECT it FROM mine) AS mine, (SELECT count(*) FROM seen) AS seen,
       (SELECT count(*) FROM removed) AS removed, (SELECT max(over_at) FROM seen) AS reached
"""  # noqa: S608 - fragments are constants
