"""Audit rows: written in the statement or transaction of the change that they tell of."""

from collections.abc import Sequence
from datetime import datetime

from token_service.adapters.postgres.pool import Connection
from token_service.domain.audit import AuditEvent

AUDIT_COLUMNS = "at, actor, action, target, subject, outcome, request_id, address, details"
AUDIT_COUNT = 9
AUDIT_TYPES = ("timestamptz", *["text"] * (AUDIT_COUNT - 1))


def args(event: AuditEvent) -> tuple[datetime, str, str, str, str, str, str, str, str]:
    """The parameters of one row, in the order of AUDIT_COLUMNS."""
    return (
        event.at,
        event.actor,
        event.action,
        event.target,
        event.subject,
        event.outcome,
        event.request_id,
        event.address,
        event.details,
    )


def insert_from(source: str, first: int, *, more_details: str = "") -> str:
    """SQL that inserts one row for each row of `source`, with parameters from `$first` on.

    For use in a CTE: no row of the change, no audit row, and the other way round. `more_details`
    is an SQL text that the details, the last column, end with.
    """
    columns = [f"${first + i}::{kind}" for i, kind in enumerate(AUDIT_TYPES)]
    if more_details:
        columns[-1] = f"ltrim({columns[-1]} || ' ' || {more_details})"
    values = ", ".join(columns)
    return f"INSERT INTO audit_log ({AUDIT_COLUMNS}) SELECT {values} FROM {source}"  # noqa: S608


_WRITE = insert_from("(SELECT 1) AS one", 1)
_WRITE_MANY = f"""
INSERT INTO audit_log ({AUDIT_COLUMNS})
SELECT {AUDIT_COLUMNS}
FROM unnest({", ".join(f"${i}::{kind}[]" for i, kind in enumerate(AUDIT_TYPES, 1))})
     WITH ORDINALITY AS event ({AUDIT_COLUMNS}, place)
ORDER BY place
"""  # noqa: S608 - column names are constants


async def write(conn: Connection, event: AuditEvent) -> None:
    """Write one row in the caller's transaction."""
    await conn.execute(_WRITE, *args(event))


async def write_many(conn: Connection, events: Sequence[AuditEvent]) -> None:
    """Write rows in order, in the caller's transaction, with one statement."""
    if events:
        columns = [list(column) for column in zip(*map(args, events), strict=True)]
        await conn.execute(_WRITE_MANY, *columns)
