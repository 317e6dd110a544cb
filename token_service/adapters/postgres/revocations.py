"""Revocations of one node, many to a transaction.

The trust head is one row, so revoking transactions come one after the other anyway; what arrives
while one is under way shares the next.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from token_service.adapters.postgres import revocation_effects
from token_service.adapters.postgres.gathering import MOST, Gathering
from token_service.adapters.postgres.pool import Database, retry_deadlock
from token_service.domain import deadline
from token_service.domain.errors import store_unavailable
from token_service.domain.revocation import Revocation, Revoked

Asked = tuple[Revocation, datetime]


class RevocationStore:
    """`domain.ports.RevocationStore` on PostgreSQL."""

    def __init__(self, database: Database, *, max_batch: int = MOST) -> None:
        self._database = database
        self._gathering: Gathering[Asked, Revoked] = Gathering(
            self._commit, lambda _: None, lanes=1, most=max_batch
        )

    async def revoke(self, revocation: Revocation, now: datetime) -> Revoked:
        """Commit the revocation with its audit row; returns after the commit.

        A caller that goes away does not stop it. Raises STORE_UNAVAILABLE when the outcome is
        not known in time, and ValueError for what no validator could honour.
        """
        revocation_effects.entry_of(revocation)
        try:
            # One transaction that is under way, and then its own.
            async with asyncio.timeout(deadline.remaining(2 * self._database.call_timeout)):
                return await self._gathering.ask((revocation, now))
        except TimeoutError:
            raise store_unavailable() from None

    async def close(self) -> None:
        """Finish what was asked for."""
        await self._gathering.close()

    async def _commit(self, asked: Sequence[Asked]) -> list[Revoked]:
        return await retry_deadlock(lambda: self._transaction(asked))

    async def _transaction(self, asked: Sequence[Asked]) -> list[Revoked]:
        now = max(at for _, at in asked)
        async with self._database.transaction() as conn:
            revocations = [revocation for revocation, _ in asked]
            return await revocation_effects.apply(conn, revocations, now)
