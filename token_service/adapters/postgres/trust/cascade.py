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
from typing import TYPE_CHECKING
from uuid import UUID

from token_service.adapters.postgres.locked import RowLocked, until_free
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust import cascade_sql, revocation_effects
from token_service.adapters.postgres.trust.cascade_rows import Cascade, cascade_from_row
from token_service.adapters.postgres.trust_head import of_head
from token_service.domain.kinds import RevocationReason, TrustEntryKind
from token_service.domain.sessions.subjects import subject_ids

if TYPE_CHECKING:
    from asyncpg import Record

BATCH = 500
"""Sessions to a transaction: a small part of what its time limit allows."""

ABANDONED = timedelta(seconds=30)
"""Whoever was at it for so long without a sign has gone."""

_FIRST = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Finished:
    """The revision from which all descendants are dead; how many were live until then."""

    revision: int
    sessions: int


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
            finished = await asyncio.shield(self.start(cascade_from_row(row, now), now))
            revision = finished.revision
        return revision

    async def resume(self, now: datetime) -> None:
        """Finish those that their process left. Raises STORE_UNAVAILABLE."""
        claim = cascade_sql.CLAIM
        while row := await self._database.fetchrow(claim, now, now - ABANDONED):
            await asyncio.shield(self.start(cascade_from_row(row, now), now))

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
        """Revoke all below sessions that are dead, but for those that are `done` and become so.

        Those whose rows are locked come last. Until one is revoked it may let others in, so what is
        below it is looked for only then. Raises STORE_UNAVAILABLE where one stays locked.
        """
        ended, waiting = 0, list(parents)
        locked: list[UUID] = []
        everywhere = cascade.reason is not RevocationReason.LOGOUT
        while waiting:
            some = [one for one in waiting[-self._batch :] if one not in done]
            del waiting[-self._batch :]
            children = await self._ask(cascade_sql.CHILDREN, some, everywhere, cascade.spared)
            left = [row["session_id"] for row in children if not row["revoked"]]
            count, skipped = await self._end(cascade, left, clock)
            ended += count
            locked += skipped
            done.update(row["parent"] for row in children)
            waiting += [row["session_id"] for row in children if row["session_id"] not in skipped]
            if not waiting and locked:
                ended += await self._end_locked(cascade, locked, clock)
                waiting, locked = locked, []
        return ended

    async def _end(
        self, cascade: Cascade, sessions: Sequence[UUID], clock: Callable[[], datetime]
    ) -> tuple[int, set[UUID]]:
        """Revoke those that are not revoked yet, in transactions of a bounded size; how many were
        live, and those whose rows are locked."""
        ended, locked = 0, set[UUID]()
        for place in range(0, len(sessions), self._batch):
            batch, now = sessions[place : place + self._batch], clock()
            await self._ask(cascade_sql.WORKING, cascade.cascade_id, now)
            revocations = [cascade.revocation_of(one, now) for one in batch]
            async with self._turn:
                applied = await revocation_effects.apply(
                    self._database, revocations, now, cascading=False
                )
            ended += sum(one.revoked.sessions for one in applied)
            locked.update(
                session for session, one in zip(batch, applied, strict=True) if one.locked
            )
        return ended, locked

    async def _end_locked(
        self, cascade: Cascade, sessions: Sequence[UUID], clock: Callable[[], datetime]
    ) -> int:
        left, ended = set(sessions), 0

        async def attempt() -> int:
            nonlocal left, ended
            count, left = await self._end(cascade, list(left), clock)
            ended += count
            if left:
                raise RowLocked
            return ended

        return await until_free(attempt, self._database)

    async def _ask(self, statement: str, *args: object) -> "list[Record]":
        async with self._turn:
            return await self._database.fetch(statement, *args)

    async def _ask_one(self, statement: str, *args: object) -> "Record":
        (row,) = await self._ask(statement, *args)
        return row
