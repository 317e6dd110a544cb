"""Batches of revocations: what is written for them, and what each request is told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID, uuid4

from asyncpg import Record

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.failures import retry_deadlock
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust import revocation_sql
from token_service.adapters.postgres.trust.cascade_rows import Cascade, columns_of
from token_service.adapters.postgres.trust.log import NewEntry
from token_service.adapters.postgres.trust_head import of_head
from token_service.domain.audit import AuditEvent
from token_service.domain.errors import store_unavailable
from token_service.domain.kinds import TrustEffect, TrustEntryKind
from token_service.domain.sessions.subjects import subject_ids
from token_service.domain.trust.revocation import Revocation, Revoked

_ONCE = (TrustEntryKind.SESSION, TrustEntryKind.KEY)
"""What is revoked once, for the first reason given; elsewhere each reason counts."""

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
    identity: UUID | None
    audits: list[AuditEvent] = field(default_factory=list)
    locked: bool = False
    changes: bool = False
    sessions: int = 0
    revision: int = 0
    spared: UUID | None = None
    cascade_id: UUID | None = None
    below: Cascade | None = None
    """What is left to do once this has committed."""

    def revokes(self, *kinds: TrustEntryKind) -> bool:
        """Whether it revokes (and not only reissues) something of these kinds."""
        return self.entry.kind in kinds and self.entry.effect is TrustEffect.REVOKE


@dataclass(frozen=True, slots=True)
class Applied:
    """What one request did, and what remains to be done below it; `first` of those who asked for
    the same gets the sessions counted. Nothing was done where a row is `locked`: ask again."""

    revoked: Revoked
    below: Cascade | None
    first: bool
    locked: bool


async def apply(
    database: Database, revocations: Sequence[Revocation], now: datetime, *, cascading: bool = True
) -> list[Applied]:
    """Carry out all of them and commit; an answer for each, in order.

    A session or key that is revoked already gets no entry and no audit row, nor does an unknown
    key. A session without a row gets them: tokens that name it may live on. Of what is below, here
    is only written down that it is to follow, unless it is not `cascading`.
    """
    epoch = database.fencing.epoch
    requested = _merge(revocations)
    effects = list({id(effect): effect for effect in requested}.values())
    if cascading:
        for effect in effects:
            session = effect.revokes(TrustEntryKind.SESSION) and effect.identity is not None
            if session or effect.revokes(*_SWEEPING):
                effect.cascade_id = uuid4()

    async def statement() -> list[Record]:
        rows = await database.fetch(revocation_sql.REVOKE, *_args(effects, now))
        if any(row["changes"] for row in rows) and rows[0]["head"] is None:
            raise database.fencing.moved()
        return rows

    rows = await retry_deadlock(statement)
    for effect, row in zip(effects, rows, strict=True):
        effect.locked, effect.changes, effect.sessions = (
            row["locked"],
            row["changes"],
            row["sessions"],
        )
        effect.revision = row["rev"] or 0
        if effect.changes and effect.cascade_id:
            effect.below = _cascade(effect, effect.cascade_id)
    await _settle(database, [one for one in effects if not one.locked], now, epoch)
    return _answers(requested)


async def _settle(
    database: Database, effects: Sequence[_Effect], now: datetime, epoch: str | None
) -> None:
    """Find out which sessions let others in, and the head for who changed nothing.

    Raises STORE_UNAVAILABLE where that was found out in another log than that of `epoch`.
    """
    unchanged = [one for one in effects if not one.changes]
    sessions = [one for one in effects if one.cascade_id and one.revokes(TrustEntryKind.SESSION)]
    if not unchanged and not sessions:
        return
    fresh = [one for one in sessions if one.changes]
    again = [_cascade(one, one.cascade_id) for one in unchanged if one.cascade_id]
    row = await database.fetchrow(
        revocation_sql.SETTLE,
        [one.identity for one in sessions],
        [one.cascade_id for one in fresh],
        *columns_of(again, always=[one.kind is not TrustEntryKind.SESSION for one in again]),
        now,
        bool(unchanged),
        epoch,
    )
    if row is None:
        raise LookupError("the statement gives one row")
    if unchanged and not row["current"]:
        await database.fencing.renew()
        raise store_unavailable()  # a failover may have lost what was seen of it
    revision = of_head(row["revision"])
    for one in unchanged:
        one.revision = revision
        if one.cascade_id in row["again"]:
            one.below = _cascade(one, one.cascade_id)
    for one in fresh:
        if one.cascade_id in row["dropped"]:
            one.below = None


def _cascade(effect: _Effect, cascade_id: UUID | None) -> Cascade:
    return Cascade.of(
        effect.entry, effect.revision, effect.audits[0], effect.spared, cascade_id=cascade_id
    )


def _merge(revocations: Sequence[Revocation]) -> list[_Effect]:
    """The effect of each request, the same one for equal requests."""
    requested: list[_Effect] = []
    known: dict[object, _Effect] = {}
    for revocation in revocations:
        entry = entry_of(revocation)
        identity, _ = subject_ids(entry.id)
        effect = _Effect(entry=entry, identity=identity, spared=revocation.spared)
        once = effect.revokes(*_ONCE)
        key = (entry.kind, entry.id) if once else (entry, effect.spared)
        first = key not in known
        effect = known.setdefault(key, effect)
        if first or not once:
            effect.audits.append(revocation.audit)
        requested.append(effect)
    return requested


def _args(effects: Sequence[_Effect], now: datetime) -> tuple[object, ...]:
    entries = [effect.entry for effect in effects]
    events = [(place, event) for place, one in enumerate(effects, 1) for event in one.audits]
    audits = zip(*(audit_log.args(event) for _, event in events), strict=True)
    return (
        [entry.kind for entry in entries],
        [entry.id for entry in entries],
        [entry.device_id for entry in entries],
        [entry.effect for entry in entries],
        [entry.reason for entry in entries],
        [effect.identity for effect in effects],
        [effect.spared for effect in effects],
        [effect.cascade_id for effect in effects],
        now,
        [place for place, _ in events],
        *(list(column) for column in audits),
    )


def _answers(requested: Iterable[_Effect]) -> list[Applied]:
    """What each request is told: who asked first ended the sessions, the others none."""
    answers: list[Applied] = []
    told: set[int] = set()
    for effect in requested:
        first = id(effect) not in told
        told.add(id(effect))
        revoked = Revoked(effect.revision, effect.sessions if first else 0)
        answers.append(Applied(revoked, effect.below, first, effect.locked))
    return answers
