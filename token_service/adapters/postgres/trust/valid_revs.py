"""The revisions below which what a subject, client or device had is dead."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from token_service.adapters.postgres.pool import Connection
from token_service.adapters.postgres.trust.log import NewEntry
from token_service.domain.kinds import TrustEffect, TrustEntryKind
from token_service.domain.sessions.subjects import subject_ids

if TYPE_CHECKING:
    from uuid import UUID

_LIFT_USERS = """
UPDATE users u SET valid_rev = GREATEST(u.valid_rev, r.rev)
FROM (SELECT id, max(rev) AS rev FROM unnest($1::uuid[], $2::bigint[]) AS x (id, rev) GROUP BY id)
     AS r
WHERE u.user_id = r.id
"""
_LIFT_CLIENTS = """
UPDATE clients c SET valid_rev = GREATEST(c.valid_rev, r.every),
                     own_valid_rev = GREATEST(c.own_valid_rev, r.own)
FROM (SELECT id, max(rev) FILTER (WHERE NOT own) AS every, max(rev) FILTER (WHERE own) AS own
      FROM unnest($1::text[], $2::bigint[], $3::boolean[]) AS x (id, rev, own) GROUP BY id) AS r
WHERE c.client_id = r.id
"""
_LIFT_DEVICES = """
INSERT INTO revoked_devices (subject, device_id, valid_rev, revoked_at)
SELECT subject, device_id, max(rev), $4::timestamptz
FROM unnest($1::text[], $2::text[], $3::bigint[]) AS x (subject, device_id, rev)
GROUP BY subject, device_id
ON CONFLICT (subject, device_id) DO UPDATE
SET valid_rev = GREATEST(revoked_devices.valid_rev, EXCLUDED.valid_rev),
    revoked_at = EXCLUDED.revoked_at
"""


async def lift(conn: Connection, entries: Sequence[tuple[NewEntry, int]], now: datetime) -> None:
    """Lift them to the revisions of revoking entries, in the caller's transaction."""
    users: list[tuple[UUID, int]] = []
    clients: list[tuple[str, int, bool]] = []
    devices: list[tuple[str, str, int]] = []
    for entry, revision in entries:
        if entry.effect is not TrustEffect.REVOKE:
            continue
        match entry.kind:
            case TrustEntryKind.SUBJECT:
                user_id, client_id = subject_ids(entry.id)
                clients.append((client_id, revision, True))
                if user_id is not None:
                    users.append((user_id, revision))
            case TrustEntryKind.CLIENT:
                clients.append((entry.id, revision, False))
            case TrustEntryKind.SUBJECT_DEVICE:
                devices.append((entry.id, entry.device_id, revision))
    if users:
        await conn.execute(_LIFT_USERS, *_columns(users))
    if clients:
        await conn.execute(_LIFT_CLIENTS, *_columns(clients))
    if devices:
        await conn.execute(_LIFT_DEVICES, *_columns(devices), now)


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
