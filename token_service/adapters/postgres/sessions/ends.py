"""Revoking rows of the sessions table."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from token_service.adapters.postgres.pool import Connection
from token_service.adapters.postgres.sessions.live import live
from token_service.adapters.postgres.sessions.rows import VIEW_JOINS
from token_service.domain.kinds import RevocationReason

_LOCK = f"""
SELECT s.session_id, ({live("$2::timestamptz")}) IS TRUE AS live
FROM sessions s {VIEW_JOINS}
WHERE s.session_id = ANY ($1::uuid[]) AND s.revoked_at IS NULL
ORDER BY s.session_id FOR NO KEY UPDATE OF s
"""  # noqa: S608 - constants
_REVOKE = """
UPDATE sessions s SET revoked_at = $3, revoked_reason = r.reason
FROM unnest($1::uuid[], $2::smallint[]) AS r (session_id, reason)
WHERE s.session_id = r.session_id
"""


async def revoke_sessions(
    conn: Connection, reasons: Mapping[UUID, RevocationReason], now: datetime
) -> dict[UUID, bool]:
    """Revoke those that are not revoked, in the caller's transaction; by id whether each of them
    was live until now. Locks them in the order of their ids."""
    if not reasons:
        return {}
    rows = await conn.fetch(_LOCK, list(reasons), now)
    found: dict[UUID, bool] = {row["session_id"]: row["live"] for row in rows}
    if found:
        await conn.execute(_REVOKE, list(found), [reasons[one] for one in found], now)
    return found
