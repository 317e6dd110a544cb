"""The trust head: one row that is always there, and without which the database answers nothing.

A join with it gives no rows where it is missing, and no rows read "no such session" to a caller:
people would be logged out by a half-restored database. So statements that only read take it with
`JOIN_HEAD`, and what they found goes through `of_head`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from token_service.adapters.postgres.failures import MissingRowError
from token_service.domain.errors import TokenServiceError, store_unavailable

if TYPE_CHECKING:
    from token_service.adapters.postgres.pool import Connection, Database

JOIN_HEAD = "LEFT JOIN trust_head h ON true"
"""For a statement that shall find its own rows also where the head is missing."""

_REVISION = "SELECT revision FROM trust_head"
_QUEUE = 0x7472757374
QUEUED = f"pg_advisory_xact_lock({_QUEUE}) IS NOT NULL"
"""True, for who moves the head, once those are done who hold it: a lock of a row alone is given to
one holder after the other, for as long as there is any, and who moves it may wait for ever."""
QUEUE = f"SELECT {QUEUED}"
"""For who locks the head before it is moved in the same transaction."""
HOLD = f"SELECT pg_advisory_xact_lock_shared({_QUEUE}); {_REVISION} FOR SHARE"
"""Keeps the head from being moved until the transaction ends. Waits for who waits to move it."""


def missing(what: str) -> TokenServiceError:
    """The refusal for a database without `what`: nothing follows from its other rows."""
    refusal = store_unavailable()
    refusal.__cause__ = MissingRowError(f"{what} is missing")
    return refusal


def headless() -> TokenServiceError:
    """The refusal for a database without a trust head."""
    return missing("the row of trust_head")


def of_head(value: int | None) -> int:
    """A column of the head, none of which is ever null. Raises STORE_UNAVAILABLE without a head."""
    if value is None:
        raise headless()
    return value


async def revision_of(conn: Connection) -> int:
    """The trust log's revision. Raises STORE_UNAVAILABLE without a head."""
    return of_head(await conn.fetchval(_REVISION))


async def latest(database: Database) -> int:
    """The trust log's revision, in a statement of its own. Raises STORE_UNAVAILABLE without a
    head."""
    row = await database.fetchrow(_REVISION)
    return of_head(None if row is None else row["revision"])


async def require(database: Database) -> None:
    """Raise STORE_UNAVAILABLE without a head: before "nothing was found" is told to a caller, by
    statements that go by the head."""
    await latest(database)
