"""What a batch of revocations does to the database, within one transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres import valid_revs
from token_service.adapters.postgres.cascade import Root, descendants
from token_service.adapters.postgres.pool import Connection
from token_service.adapters.postgres.rows import (
    NOT_REVOKED,
    VIEW_JOINS,
    not_expired,
)
from token_service.adapters.postgres.trust import NewEntry, append
from token_service.domain.kinds import KeyState, TrustEffect, TrustEntryKind
from token_service.domain.records import AuditEvent
from token_service.domain.revocation import Revocation, Revoked
from token_service.domain.subjects import subject_ids

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
_LOCK_SESSIONS = f"""
SELECT s.session_id, ({NOT_REVOKED} AND {not_expired("$2::timestamptz")}) IS TRUE AS live
FROM sessions s {VIEW_JOINS}
WHERE s.session_id = ANY ($1::uuid[]) AND s.revoked_at IS NULL
ORDER BY s.session_id FOR NO KEY UPDATE OF s
"""  # noqa: S608
_COMPROMISE_KEYS = f"""
UPDATE keys SET state = {KeyState.COMPROMISED}, compromised_at = $2 WHERE kid = ANY ($1::text[])
"""  # noqa: S608
_REVOKE_SESSIONS = """
UPDATE sessions s SET revoked_at = $3, revoked_reason = r.reason
FROM unnest($1::uuid[], $2::smallint[]) AS r (session_id, reason)
WHERE s.session_id = r.session_id
"""
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
    WHERE s.revoked_at IS NULL AND {not_expired("$4::timestamptz")}
      AND w.device_id IN ('', s.device_id) AND s.rev >= w.valid_rev
    LIMIT {MOST_COUNTED}
) s {VIEW_JOINS}
WHERE {NOT_REVOKED}
GROUP BY w.place
"""  # noqa: S608
_LATELY = timedelta(minutes=5)
"""Longer than any transaction, and than clocks differ."""

_WITH_DESCENDANTS = (
    TrustEntryKind.SESSION,
    TrustEntryKind.SUBJECT_DEVICE,
    TrustEntryKind.CLIENT,
    TrustEntryKind.KEY,
)


def entry_of(revocation: Revocation) -> NewEntry:
    """The entry that the trust log gets. Raises ValueError when no validator could honour it."""
    return NewEntry(
        revocation.kind,
        revocation.id,
        revocation.device_id,
        revocation.effect,
        revocation.reason,
    )


@dataclass(slots=True)
class _Effect:
    """One entry to be, with the audit rows of the requests that it answers."""

    entry: NewEntry
    audits: list[AuditEvent] = field(default_factory=list)
    changes: bool = True
    sessions: int = 0
    revision: int = 0
    spared: "UUID | None" = None
    roots: list["_Effect"] = field(default_factory=list)
    """For a descendant: what it goes with."""
    below_until: int = 0
    """The last revision of its descendants."""

    def revokes(self, *kinds: TrustEntryKind) -> bool:
        """Whether it revokes (and not only reissues) something of these kinds."""
        return self.entry.kind in kinds and self.entry.effect is TrustEffect.REVOKE


async def apply(
    conn: Connection, revocations: Sequence[Revocation], now: datetime
) -> list[Revoked]:
    """Carry out all of them in the caller's transaction; an answer for each, in order.

    Locks users, clients, keys and sessions, each in the order of their ids, then the trust head.
    A session or key that is revoked already, or unknown, gets no entry and no audit row; what is
    below it is reached all the same. Whoever makes a descendant holds the head meanwhile, so one
    that was not there before it was locked is there after, or will find its parent revoked.
    """
    requested = _merge(revocations)
    effects = list({id(effect): effect for effect in requested}.values())
    await _lock_subjects_and_clients(conn, effects)
    await _compromise_keys(conn, effects, now)
    effects += await _below(conn, effects)
    await _revoke_sessions(conn, effects, now)
    await _count_live(conn, effects, now)
    changing = [effect for effect in effects if effect.changes]
    await audit_log.write_many(conn, [event for effect in changing for event in effect.audits])
    head = await _append(conn, changing, now)
    await valid_revs.lift(conn, [(one.entry, one.revision) for one in changing], now)
    late = await _below(conn, effects, collected_after=now - _LATELY)
    head = await _revoke_further(conn, late, now) or head
    return _answers(requested, head)


async def end_descendants(
    conn: Connection, entry: NewEntry, audit: AuditEvent, now: datetime
) -> None:
    """Revoke what is below sessions of `entry`, which the caller has appended already."""
    await _revoke_further(conn, await _below(conn, [_Effect(entry, [audit])]), now)


async def _revoke_further(
    conn: Connection, effects: Sequence[_Effect], now: datetime
) -> int | None:
    """Revoke more sessions when the head is held already; its revision after, None for none."""
    if not effects:
        return None
    await _revoke_sessions(conn, effects, now)
    changing = [effect for effect in effects if effect.changes]
    await audit_log.write_many(conn, [event for effect in changing for event in effect.audits])
    return await _append(conn, changing, now)


async def _below(
    conn: Connection, effects: Sequence[_Effect], collected_after: datetime | None = None
) -> list[_Effect]:
    """An effect for each descendant that has none yet."""
    above = [effect for effect in effects if effect.revokes(*_WITH_DESCENDANTS)]
    if not above:
        return []
    roots = [
        Root(one.entry.kind, one.entry.id, one.entry.device_id, one.entry.reason, one.spared)
        for one in above
    ]
    known = {one.entry.id for one in _of(effects, TrustEntryKind.SESSION)}
    found: dict[str, _Effect] = {}
    for one in await descendants(conn, roots, collected_after):
        session_id, root = str(one.session_id), above[one.place]
        if session_id not in known:
            found.setdefault(session_id, _descendant(session_id, root)).roots.append(root)
    return list(found.values())


def _descendant(session_id: str, root: _Effect) -> _Effect:
    entry = root.entry
    audit = replace(
        root.audits[0],
        action="session.revoke",
        target=session_id,
        details=f"reason={entry.reason.name.lower()} below {entry.kind.name.lower()} {entry.id}",
    )
    own = replace(entry, kind=TrustEntryKind.SESSION, id=session_id, device_id="")
    return _Effect(own, [audit])


def _merge(revocations: Sequence[Revocation]) -> list[_Effect]:
    """The effect of each request, the same one for equal requests.

    A session or key is revoked once, for the first reason given; elsewhere each reason counts.
    """
    requested: list[_Effect] = []
    known: dict[object, _Effect] = {}
    for revocation in revocations:
        effect = _Effect(entry_of(revocation), spared=revocation.spared)
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
    if not wanted:
        return
    found: dict[UUID, int] = {}
    for row in await conn.fetch(_LOCK_SESSIONS, list(wanted), now):
        effect = wanted[row["session_id"]]
        effect.changes = True
        effect.sessions = int(row["live"])
        found[row["session_id"]] = effect.entry.reason
    if found:
        await conn.execute(_REVOKE_SESSIONS, list(found), list(found.values()), now)


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
        return int(await conn.fetchval("SELECT revision FROM trust_head"))
    entries = [effect.entry for effect in effects]
    keys = bool(_of(effects, TrustEntryKind.KEY))
    head = await append(conn, entries, now=now, bump_keys=keys)
    for revision, effect in enumerate(effects, head - len(effects) + 1):
        effect.revision = revision
        for root in effect.roots:
            root.below_until = revision
        if effect.roots:
            effect.roots[0].sessions += effect.sessions
    return head


def _answers(requested: Iterable[_Effect], head: int) -> list[Revoked]:
    """What each request is told: who asked first ended the sessions, the others none."""
    answers: list[Revoked] = []
    told: set[int] = set()
    for effect in requested:
        sessions = 0 if id(effect) in told else effect.sessions
        told.add(id(effect))
        revision = max(effect.revision or head, effect.below_until)
        answers.append(Revoked(revision, sessions))
    return answers


def _of(effects: Sequence[_Effect], *kinds: TrustEntryKind) -> list[_Effect]:
    return [effect for effect in effects if effect.revokes(*kinds)]
