"""How far a revocation reaches: from sessions to those that they let in by pairing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from token_service.adapters.postgres.pool import Connection
from token_service.domain.kinds import PairingState, Platform, RevocationReason, TrustEntryKind
from token_service.domain.subjects import subject_ids

if TYPE_CHECKING:
    from asyncpg import Record


@dataclass(frozen=True, slots=True)
class Root:
    """What is revoked. A logout leaves the phones that a browser let in; every other reason
    reaches all descendants, but for `spared` and what lies below it."""

    kind: TrustEntryKind
    id: str
    device_id: str
    reason: RevocationReason
    spared: UUID | None = None


@dataclass(frozen=True, slots=True)
class Descendant:
    """A session below the root at `place`, revoked or not."""

    place: int
    session_id: UUID


# A subject's sessions have descendants of that subject alone, which its own entry reaches.
_OF_DEVICES = """
SELECT r.place, s.session_id
FROM unnest($1::integer[], $2::uuid[], $3::text[]) AS r (place, user_id, device_id)
JOIN sessions s ON s.user_id = r.user_id AND s.device_id = r.device_id
"""
# These two cost something for each paired session there is: it takes a client or a key to pay it.
_OF_CLIENTS_AND_KEYS = """
SELECT DISTINCT r.place, p.session_id
FROM sessions s JOIN sessions p ON p.session_id = s.parent_session_id
JOIN unnest($1::integer[], $2::text[], $3::text[]) AS r (place, client_id, kid)
     ON p.client_id = r.client_id OR p.mint_kid = r.kid
WHERE s.parent_session_id IS NOT NULL
"""
_OF_CLIENTS_AND_KEYS_LATELY = f"""
SELECT DISTINCT r.place, p.session_id
FROM pairings x JOIN sessions p ON p.session_id = x.approver_session
JOIN unnest($1::integer[], $2::text[], $3::text[]) AS r (place, client_id, kid)
     ON p.client_id = r.client_id OR p.mint_kid = r.kid
WHERE x.ends_at > $4::timestamptz AND x.state = {PairingState.COMPLETED}
"""  # noqa: S608 - constants
# One look into the index for each session, whatever the planner knows of the table so far.
_BELOW = f"""
WITH RECURSIVE below AS (
    SELECT r.place, r.all_platforms, r.spared, r.session_id
    FROM unnest($1::integer[], $2::uuid[], $3::boolean[], $4::uuid[])
         AS r (place, session_id, all_platforms, spared)
    UNION
    SELECT b.place, b.all_platforms, b.spared, s.session_id
    FROM below b CROSS JOIN LATERAL (
        SELECT session_id, platform FROM sessions
        WHERE parent_session_id = b.session_id OFFSET 0
    ) s
    WHERE (b.all_platforms OR s.platform = {Platform.WEB})
      AND s.session_id IS DISTINCT FROM b.spared
)
SELECT DISTINCT place, session_id FROM below
"""  # noqa: S608 - constants


async def descendants(
    conn: Connection, roots: Sequence[Root], collected_after: datetime | None = None
) -> list[Descendant]:
    """All sessions below those of `roots`, but for what a root's own entry reaches.

    With `collected_after`, of clients and keys only such as collect what they did since then.
    """
    tops = await _tops(conn, roots, collected_after)
    if not tops:
        return []
    places, ids = zip(*tops, strict=True)
    rows = await conn.fetch(
        _BELOW,
        list(places),
        list(ids),
        [roots[place].reason is not RevocationReason.LOGOUT for place in places],
        [roots[place].spared for place in places],
    )
    above = set(tops)
    found = [Descendant(row["place"], row["session_id"]) for row in rows]
    return [one for one in found if (one.place, one.session_id) not in above]


async def _tops(
    conn: Connection, roots: Sequence[Root], collected_after: datetime | None
) -> list[tuple[int, UUID]]:
    """The sessions to start from, each with the place of its root."""
    tops: list[tuple[int, UUID]] = []
    devices: list[tuple[int, UUID, str]] = []
    others: list[tuple[int, str | None, str | None]] = []
    for place, root in enumerate(roots):
        identity, _ = subject_ids(root.id)
        match root.kind:
            case TrustEntryKind.SESSION if identity is not None:
                tops.append((place, identity))
            case TrustEntryKind.SUBJECT_DEVICE if identity is not None:
                devices.append((place, identity, root.device_id))
            case TrustEntryKind.CLIENT:
                others.append((place, root.id, None))
            case TrustEntryKind.KEY:
                others.append((place, None, root.id))
    found: list[Record] = []
    if devices:
        found += await conn.fetch(_OF_DEVICES, *_columns(devices))
    if others and collected_after is None:
        found += await conn.fetch(_OF_CLIENTS_AND_KEYS, *_columns(others))
    elif others:
        lately = _OF_CLIENTS_AND_KEYS_LATELY
        found += await conn.fetch(lately, *_columns(others), collected_after)
    return tops + [(row["place"], row["session_id"]) for row in found]


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
