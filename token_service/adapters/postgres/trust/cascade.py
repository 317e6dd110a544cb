"""What goes with a revocation: the sessions that those it reached let in by pairing.

The revocation commits first, with a row that says what is left to do. Nothing that is revoked lets
anybody in: a collection looks at its approver while it holds the trust head, which a revocation
needs to commit. So the children of what is revoked are all there to be found, and do not become
more. Level by level they are revoked, in transactions of a bounded size, until none is left. What
is broken off can be done again from the start, by anyone: who is revoked by then is passed over.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Self
from uuid import UUID, uuid4

from token_service.adapters.postgres import audit as audit_log
from token_service.adapters.postgres.pool import Connection, Database, retry_deadlock
from token_service.adapters.postgres.sessions.ends import revoke_sessions
from token_service.adapters.postgres.trust import cascade_sql
from token_service.adapters.postgres.trust.log import NewEntry, append
from token_service.adapters.postgres.trust_head import of_head
from token_service.domain.audit import AuditEvent
from token_service.domain.kinds import RevocationReason, TrustEffect, TrustEntryKind
from token_service.domain.sessions.subjects import subject_ids

if TYPE_CHECKING:
    from asyncpg import Record

BATCH = 500
"""Sessions to a transaction: a small part of what its time limit allows."""

ABANDONED = timedelta(seconds=30)
"""Whoever was at it for so long without a sign has gone."""

_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """What was revoked, whose descendants are to follow: but for `spared` and what is below it, and
    after a logout the browsers alone. `audit` is the revocation's own event."""

    cascade_id: UUID
    kind: TrustEntryKind
    id: str
    device_id: str
    reason: RevocationReason
    below_rev: int
    spared: UUID | None
    audit: AuditEvent

    @classmethod
    def of(
        cls, entry: NewEntry, revision: int, audit: AuditEvent, spared: UUID | None = None
    ) -> Self:
        """That of an entry, which has this revision or was made by an earlier one."""
        return cls(
            cascade_id=uuid4(),
            kind=entry.kind,
            id=entry.id,
            device_id=entry.device_id,
            reason=entry.reason,
            below_rev=revision,
            spared=spared,
            audit=audit,
        )

    def entry_of(self, session_id: UUID) -> NewEntry:
        """The entry of a descendant."""
        kind, effect = TrustEntryKind.SESSION, TrustEffect.REVOKE
        return NewEntry(kind, str(session_id), "", effect, self.reason)

    def event_of(self, session_id: UUID, now: datetime) -> AuditEvent:
        """The audit row of a descendant."""
        top = self.audit
        reason, kind = self.reason.name.lower(), self.kind.name.lower()
        return AuditEvent(
            at=now,
            actor=top.actor,
            action="session.revoke",
            outcome=top.outcome,
            target=str(session_id),
            subject=top.subject,
            request_id=top.request_id,
            address=top.address,
            details=f"reason={reason} below {kind} {self.id}",
        )


@dataclass(frozen=True, slots=True)
class Finished:
    """The revision from which all descendants are dead; how many were live until then."""

    revision: int
    sessions: int


async def begin(conn: Connection, cascades: Sequence[Cascade], now: datetime) -> None:
    """Keep in the caller's transaction what it leaves to do."""
    if cascades:
        await conn.executemany(cascade_sql.BEGIN, [_args(one, now) for one in cascades])


class Cascades:
    """Finishes cascades that are begun. Those of one process take turns, step by step."""

    def __init__(self, database: Database, *, batch: int = BATCH) -> None:
        self._database = database
        self._batch = batch
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[Finished]] = set()

    def start(self, cascade: Cascade, now: datetime) -> asyncio.Task[Finished]:
        """Finish one whose beginning has committed, whoever waits for it: shield the task.

        It raises STORE_UNAVAILABLE; then, and after a crash, `resume` goes on.
        """
        # In a context of its own: no caller's deadline ends it.
        task = asyncio.create_task(self._finish(cascade, now), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def finish_those_of(self, kind: TrustEntryKind, id_: str, now: datetime) -> int:
        """Finish what is left of the revocations of one client, key or session; the revision from
        which it is done, 0 when there was nothing. Raises STORE_UNAVAILABLE."""
        revision = 0
        for row in await self._database.fetch(cascade_sql.OF, kind, id_):
            finished = await asyncio.shield(self.start(_cascade(row, now), now))
            revision = finished.revision
        return revision

    async def resume(self, now: datetime) -> None:
        """Finish those that their process left. Raises STORE_UNAVAILABLE."""
        claim = cascade_sql.CLAIM
        while row := await self._database.fetchrow(claim, now, now - ABANDONED):
            await asyncio.shield(self.start(_cascade(row, now), now))

    async def close(self) -> None:
        """Break off what is under way: another process goes on with it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[Finished]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waits for it has it

    async def _finish(self, cascade: Cascade, now: datetime) -> Finished:
        began = time.monotonic()

        def clock() -> datetime:
            return now + timedelta(seconds=time.monotonic() - began)

        ended = 0
        done: set[UUID] = set()
        async for parents in self._parents(cascade):
            ended += await self._end_below(cascade, parents, done, clock)
        row = await self._ask_one(cascade_sql.DONE, cascade.cascade_id)
        return Finished(of_head(row["revision"]), ended)

    async def _parents(self, cascade: Cascade) -> AsyncIterator[list[UUID]]:
        """Those to begin with: sessions that the revocation itself has reached."""
        identity, _ = subject_ids(cascade.id)
        if cascade.kind is TrustEntryKind.SESSION and identity is not None:
            yield [identity]
        elif cascade.kind is TrustEntryKind.SUBJECT_DEVICE and identity is not None:
            device, below = cascade.device_id, cascade.below_rev
            rows = await self._ask(cascade_sql.PARENTS_OF_DEVICE, identity, device, below)
            yield [row["session_id"] for row in rows]
        elif cascade.kind in (TrustEntryKind.CLIENT, TrustEntryKind.KEY):
            client = cascade.id if cascade.kind is TrustEntryKind.CLIENT else None
            kid = cascade.id if client is None else None
            statement, last = cascade_sql.NEXT_PARENTS, _FIRST
            while last is not None:
                row = await self._ask_one(statement, last, client, cascade.below_rev, kid)
                yield row["parents"]
                last = row["last"]

    async def _end_below(
        self,
        cascade: Cascade,
        parents: Sequence[UUID],
        done: set[UUID],
        clock: Callable[[], datetime],
    ) -> int:
        """Revoke all below sessions that are dead, but for those that are `done` and become so."""
        ended, waiting = 0, list(parents)
        everywhere = cascade.reason is not RevocationReason.LOGOUT
        while waiting:
            some = [one for one in waiting[-self._batch :] if one not in done]
            del waiting[-self._batch :]
            children = await self._ask(cascade_sql.CHILDREN, some, everywhere, cascade.spared)
            left = [row["session_id"] for row in children if not row["revoked"]]
            for place in range(0, len(left), self._batch):
                batch = left[place : place + self._batch]
                ended += await self._end(cascade, batch, clock())
            done.update(row["parent"] for row in children)
            waiting += [row["session_id"] for row in children]
        return ended

    async def _end(self, cascade: Cascade, sessions: Sequence[UUID], now: datetime) -> int:
        """Revoke those that are not revoked yet, in one transaction; how many were live."""

        async def transaction() -> int:
            async with self._database.transaction() as conn:
                await conn.execute(cascade_sql.WORKING, cascade.cascade_id, now)
                reasons = dict.fromkeys(sessions, cascade.reason)
                ended = await revoke_sessions(conn, reasons, now)
                if ended:
                    events = [cascade.event_of(one, now) for one in ended]
                    await audit_log.write_many(conn, events)
                    await append(conn, [cascade.entry_of(one) for one in ended], now=now)
                return sum(ended.values())

        async with self._turn:
            return await retry_deadlock(transaction)

    async def _ask(self, statement: str, *args: object) -> "list[Record]":
        async with self._turn:
            return await self._database.fetch(statement, *args)

    async def _ask_one(self, statement: str, *args: object) -> "Record":
        (row,) = await self._ask(statement, *args)
        return row


def _args(cascade: Cascade, now: datetime) -> tuple[object, ...]:
    audit = cascade.audit
    return (
        cascade.cascade_id,
        cascade.kind,
        cascade.id,
        cascade.device_id,
        cascade.reason,
        cascade.below_rev,
        cascade.spared,
        audit.actor,
        audit.subject,
        audit.outcome,
        audit.request_id,
        audit.address,
        now,
    )


def _cascade(row: "Record", now: datetime) -> Cascade:
    audit = AuditEvent(
        at=now,
        actor=row["actor"],
        action="",
        outcome=row["outcome"],
        subject=row["subject"],
        request_id=row["request_id"],
        address=row["address"],
    )
    return Cascade(
        cascade_id=row["cascade_id"],
        kind=TrustEntryKind(row["kind"]),
        id=row["id"],
        device_id=row["device_id"],
        reason=RevocationReason(row["reason"]),
        below_rev=row["below_rev"],
        spared=row["spared"],
        audit=audit,
    )
