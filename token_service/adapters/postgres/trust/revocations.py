"""Revocations of one node, many to a transaction.

The trust head is one row, so revoking transactions come one after the other anyway; what arrives
while one is under way shares the next.
"""

import asyncio
import math
from collections.abc import Sequence
from datetime import datetime

from token_service.adapters.postgres.gathering import MOST, Gathering
from token_service.adapters.postgres.locked import RowLocked, until_free
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust import revocation_effects
from token_service.adapters.postgres.trust.cascade import BATCH, Cascades, Finished
from token_service.adapters.postgres.trust.revocation_effects import Applied
from token_service.domain import deadline, durability
from token_service.domain.errors import store_unavailable
from token_service.domain.trust.revocation import Revocation, Revoked

Asked = tuple[Revocation, datetime]
Answer = tuple[Applied, asyncio.Task[Finished] | None]


class RevocationStore:
    """`domain.ports.RevocationStore` on PostgreSQL."""

    def __init__(
        self, database: Database, *, max_batch: int = MOST, max_descendants: int = BATCH
    ) -> None:
        """At most so many revocations, and so many descendants, to a transaction."""
        self._database = database
        self._cascades = Cascades(database, batch=max_descendants)
        self._gathering: Gathering[Asked, Answer] = Gathering(
            self._commit, lambda _: None, lanes=1, most=max_batch
        )

    async def revoke(self, revocation: Revocation, now: datetime) -> Revoked:
        """Commit the revocation with its audit row, then those of all descendants; returns after
        the last commit.

        A caller that goes away does not stop it. Raises STORE_UNAVAILABLE when the outcome is
        not known in time, or descendants are still being revoked when the caller's time is over;
        and ValueError for what no validator could honour.
        """
        revocation_effects.entry_of(revocation)
        try:
            # One statement that is under way, and then its own.
            within = 2 * self._database.call_timeout
            async with asyncio.timeout(deadline.remaining(within)):
                done, below = await until_free(
                    lambda: self._ask(revocation, now), self._database, within
                )
            if below is None:
                durability.note_commit()
                return done.revoked
            async with asyncio.timeout(deadline.remaining(math.inf)):
                finished = await asyncio.shield(below)
        except TimeoutError:
            raise store_unavailable() from None
        durability.note_commit()
        more = finished.sessions if done.first else 0
        return Revoked(finished.revision, done.revoked.sessions + more)

    async def resume(self, now: datetime) -> None:
        """Revoke the descendants that a process left when it ended. Raises STORE_UNAVAILABLE."""
        await self._cascades.resume(now)

    async def close(self) -> None:
        """Finish what was asked for; descendants that are left then are another process's."""
        await self._gathering.close()
        await self._cascades.close()

    async def _ask(self, revocation: Revocation, now: datetime) -> Answer:
        answer = await self._gathering.ask((revocation, now))
        if answer[0].locked:
            raise RowLocked
        return answer

    async def _commit(self, asked: Sequence[Asked]) -> list[Answer]:
        now = max(at for _, at in asked)
        done = await revocation_effects.apply(self._database, [one for one, _ in asked], now)
        left = {one.below.cascade_id: one.below for one in done if one.below is not None}
        tasks = {key: self._cascades.start(below, now) for key, below in left.items()}
        return [(one, tasks[one.below.cascade_id] if one.below else None) for one in done]
