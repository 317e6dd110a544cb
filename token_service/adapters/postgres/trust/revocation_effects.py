"""What a batch of revocations does to the database, within one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.pool import Connection
from token_service.adapters.postgres.sessions.ends import revoke_sessions
from token_service.adapters.postgres.sessions.live import LIVE_FROM, live, live_row
from token_service.adapters.postgres.trust import cascade, cascade_sql, valid_revs
from token_service.adapters.postgres.trust.cascade import Cascade
from token_service.adapters.postgres.trust.log import NewEntry, append
from token_service.adapters.postgres.trust_head import revision_of
from token_service.domain.audit import AuditEvent
from token_service.domain.kinds import KeyState, TrustEffect, TrustEntryKind
from token_service.domain.sessions.subjects import subject_ids
from token_service.domain.trust.revocation import Revocation, Revoked

if TYPE_CHECKING:
    from uuid import UUID

_LOCK_USERS = """
SELECT user_id FROM users WHERE user_id = ANY ($1::uuid[]) ORDER BY user_id FOR NO KEY UPDATE
"""
_LOCK_CLIENTS = """
SELECT client_id FROM clients WHERE client_id = ANY ($1::text[])
ORDER BY client_id FOR NO KEY UPDATE
"""
_LOCK_KEYS = f"""
SELECT kid FROM keys WHERE kid = ANY ($1::text[]) AND state <> {KeyState.COMPROMISED}
ORDER BY kid FOR NO KEY UPDATE
"""  # noqa: S608 - constants, here and below
_COMPROMISE_KEYS = f"""
UPDATE keys SET state = {KeyState.COMPROMISED}, compromised_at = $2 WHERE kid = ANY ($1::text[])
"""  # noqa: S608
MOST_COUNTED = 10_000
MOST_LOOKED_AT = 200_000
"""Sessions of one subject, for the count: a revocation must not fail because they are many."""

_COUNT_LIVE = f"""
WITH wanted AS (
    SELECT w.*, GREATEST(
        h.valid_rev,
        (SELECT valid_rev FROM users u WHERE u.user_id = w.user_id),
        (SELECT GREATEST(valid_rev, own_valid_rev) FROM clients c
         WHERE c.client_id = w.subject AND w.user_id IS NULL)
    ) AS valid_rev
    FROM unnest($1::text[], $2::uuid[], $3::text[]) WITH ORDINALITY
         AS w (subject, user_id, device_id, place)
    CROSS JOIN trust_head h
)
SELECT w.place, count(*) AS sessions
FROM wanted w
CROSS JOIN LATERAL (
    SELECT * FROM (
        SELECT * FROM sessions WHERE user_id = w.user_id
        UNION ALL
        SELECT * FROM sessions WHERE user_id IS NULL AND client_id = w.subject
        LIMIT {MOST_LOOKED_AT}
    ) s
    WHERE {live_row("$4::timestamptz")}
      AND w.device_id IN ('', s.device_id) AND s.rev >= w.valid_rev
    LIMIT {MOST_COUNTED}
) s, {LIVE_FROM}
WHERE {live("$4::timestamptz")}
GROUP BY w.place
"""  # noqa: S608
_SWEEPING = (TrustEntryKind.SUBJECT_DEVICE, TrustEntryKind.CLIENT, TrustEntryKind.KEY)
"""They reach so many sessions that which of them let others in is looked for afterwards."""


def entry_of(revocation: Revocation) -> NewEntry:
    """The entry that the trust log gets. Raises ValueError when no validator could honour it."""
    return NewEntry(
        revocation.kind,
        revocation.id,
        revocation.device_id,
        revocation.effect,
        revocation.reason,
    )


@dataclass(slots=True, kw_only=True)
class _Effect:
    """One entry to be, with the audit rows of the requests that it answers."""

    entry: NewEntry
    audits: list[AuditEvent] = field(default_factory=list)
    changes: bool = True
    sessions: int = 0
    revision: int = 0
    spared: "UUID | None" = None
    below: Cascade | None = None
    """What is left to do once this has committed."""

    def revokes(self, *kinds: TrustEntryKind) -> bool:
        """Whether it revokes (and not only reissues) something of these kinds."""
        return self.entry.kind in kinds and self.entry.effect is TrustEffect.REVOKE


@dataclass(frozen=True, slots=True)
class Applied:
    """What one request did, and what remains to be done below it; `first` of those who asked for
    the same gets the sessions counted."""

    revoked: Revoked
    below: Cascade | None
    first: bool


async def apply(
    conn: Connection, revocations: Sequence[Revocation], now: datetime
) -> list[Applied]:
    """Carry out all of them in the caller's transaction; an answer for each, in order.

    Locks users, clients, keys and sessions, each in the order of their ids, then the trust head.
    A session or key that is revoked already, or unknown, gets no entry and no audit row. Of what is
    below, here is only written down that it is to follow.
    """
    requested = _merge(revocations)
    effects = list({id(effect): effect for effect in requested}.values())
    await _lock_subjects_and_clients(conn, effects)
    await _compromise_keys(conn, effects, now)
    await _revoke_sessions(conn, effects, now)
    await _count_live(conn, effects, now)
    changing = [effect for effect in effects if effect.changes]
    await audit_log.write_many(conn, [event for effect in changing for event in effect.audits])
    head = await _append(conn, changing, now)
    await valid_revs.lift(conn, [(one.entry, one.revision) for one in changing], now)
    await _begin_cascades(conn, effects, head, now)
    return _answers(requested, head)


async def _begin_cascades(
    conn: Connection, effects: Sequence[_Effect], head: int, now: datetime
) -> None:
    """While the head is held nobody is let in: who has no children now gets none."""
    above = _of(effects, *_SWEEPING)
    sessions: dict[UUID, _Effect] = {}
    for effect in _of(effects, TrustEntryKind.SESSION):
        session_id, _ = subject_ids(effect.entry.id)
        if session_id is not None:
            sessions[session_id] = effect
    if sessions:
        rows = await conn.fetch(cascade_sql.PARENTS_AMONG, list(sessions))
        above += [sessions[row["session_id"]] for row in rows]
    for one in above:
        one.below = Cascade.of(one.entry, one.revision or head, one.audits[0], one.spared)
    await cascade.begin(conn, [one.below for one in above if one.below is not None], now)


def _merge(revocations: Sequence[Revocation]) -> list[_Effect]:
    """The effect of each request, the same one for equal requests.

    A session or key is revoked once, for the first reason given; elsewhere each reason counts.
    """
    requested: list[_Effect] = []
    known: dict[object, _Effect] = {}
    for revocation in revocations:
        effect = _Effect(entry=entry_of(revocation), spared=revocation.spared)
        once = effect.revokes(TrustEntryKind.SESSION, TrustEntryKind.KEY)
        key = (effect.entry.kind, effect.entry.id) if once else (effect.entry, effect.spared)
        first = key not in known
        effect = known.setdefault(key, effect)
        if first or not once:
            effect.audits.append(revocation.audit)
        requested.append(effect)
    return requested


async def _lock_subjects_and_clients(conn: Connection, effects: Sequence[_Effect]) -> None:
    subjects = [subject_ids(effect.entry.id) for effect in _of(effects, TrustEntryKind.SUBJECT)]
    users = [user_id for user_id, _ in subjects if user_id is not None]
    clients = [client_id for _, client_id in subjects]
    clients += [effect.entry.id for effect in _of(effects, TrustEntryKind.CLIENT)]
    if users:
        await conn.execute(_LOCK_USERS, users)
    if clients:
        await conn.execute(_LOCK_CLIENTS, clients)


async def _compromise_keys(conn: Connection, effects: Sequence[_Effect], now: datetime) -> None:
    wanted = {effect.entry.id: effect for effect in _of(effects, TrustEntryKind.KEY)}
    if not wanted:
        return
    found = {row["kid"] for row in await conn.fetch(_LOCK_KEYS, list(wanted))}
    for kid, effect in wanted.items():
        effect.changes = kid in found
    await conn.execute(_COMPROMISE_KEYS, list(found), now)


async def _revoke_sessions(conn: Connection, effects: Sequence[_Effect], now: datetime) -> None:
    wanted: dict[UUID, _Effect] = {}
    for effect in _of(effects, TrustEntryKind.SESSION):
        effect.changes = False
        session_id, _ = subject_ids(effect.entry.id)
        if session_id is not None:
            wanted[session_id] = effect
    reasons = {session_id: effect.entry.reason for session_id, effect in wanted.items()}
    for session_id, was_live in (await revoke_sessions(conn, reasons, now)).items():
        effect = wanted[session_id]
        effect.changes = True
        effect.sessions = int(was_live)


async def _count_live(conn: Connection, effects: Sequence[_Effect], now: datetime) -> None:
    counted = _of(effects, TrustEntryKind.SUBJECT, TrustEntryKind.SUBJECT_DEVICE)
    if not counted:
        return
    subjects = [effect.entry.id for effect in counted]
    users = [subject_ids(subject)[0] for subject in subjects]
    devices = [effect.entry.device_id for effect in counted]
    for row in await conn.fetch(_COUNT_LIVE, subjects, users, devices, now):
        counted[row["place"] - 1].sessions = row["sessions"]


async def _append(conn: Connection, effects: Sequence[_Effect], now: datetime) -> int:
    """Write the entries and note their revisions; the head after."""
    if not effects:
        return await revision_of(conn)
    entries = [effect.entry for effect in effects]
    keys = bool(_of(effects, TrustEntryKind.KEY))
    head = await append(conn, entries, now=now, bump_keys=keys)
    for revision, effect in enumerate(effects, head - len(effects) + 1):
        effect.revision = revision
    return head


def _answers(requested: Iterable[_Effect], head: int) -> list[Applied]:
    """What each request is told: who asked first ended the sessions, the others none."""
    answers: list[Applied] = []
    told: set[int] = set()
    for effect in requested:
        first = id(effect) not in told
        told.add(id(effect))
        revoked = Revoked(effect.revision or head, effect.sessions if first else 0)
        answers.append(Applied(revoked, effect.below, first))
    return answers


def _of(effects: Sequence[_Effect], *kinds: TrustEntryKind) -> list[_Effect]:
    return [effect for effect in effects if effect.revokes(*kinds)]
