"""Revocations of one node, many to a transaction.

The trust head is one row, so revoking transactions come one after the other anyway; what arrives
while one is under way shares the next.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass, field
from datetime import datetime

from token_service.adapters.postgres import revocation_effects
from token_service.adapters.postgres.pool import Database, retry_deadlock
from token_service.domain import deadline
from token_service.domain.errors import TokenServiceError, store_unavailable
from token_service.domain.revocation import Revocation, Revoked

MAX_BATCH = 256
MAX_WAITING = 64 * MAX_BATCH


@dataclass(slots=True, eq=False)
class _Request:
    revocation: Revocation
    now: datetime
    answer: asyncio.Future[Revoked] = field(default_factory=asyncio.Future)

    def succeed(self, revoked: Revoked) -> None:
        if not self.answer.done():
            self.answer.set_result(revoked)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class RevocationStore:
    """`domain.ports.RevocationStore` on PostgreSQL."""

    def __init__(self, database: Database, *, max_batch: int = MAX_BATCH) -> None:
        self._database = database
        self._max_batch = max_batch
        self._waiting: deque[_Request] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def revoke(self, revocation: Revocation, now: datetime) -> Revoked:
        """Commit the revocation with its audit row; returns after the commit.

        A caller that goes away does not stop it. Raises STORE_UNAVAILABLE when the outcome is
        not known in time, and ValueError for what no validator could honour.
        """
        revocation_effects.entry_of(revocation)
        if len(self._waiting) >= MAX_WAITING:
            raise store_unavailable()
        request = _Request(revocation, now)
        self._waiting.append(request)
        if self._worker is None or self._worker.done():
            # In a context of its own: this caller's deadline is not the others'.
            self._worker = asyncio.create_task(self._work(), context=Context())
        try:
            # One transaction that is under way, and then its own.
            async with asyncio.timeout(deadline.remaining(2 * self._database.call_timeout)):
                return await request.answer
        except TimeoutError:
            raise store_unavailable() from None

    async def close(self) -> None:
        """Finish what was asked for."""
        if self._worker is not None:
            await asyncio.wait([self._worker])

    async def _work(self) -> None:
        while self._waiting:
            size = min(len(self._waiting), self._max_batch)
            batch = [self._waiting.popleft() for _ in range(size)]
            try:
                await self._settle(batch)
            finally:
                for request in batch:  # only a stop of the whole process leaves any
                    request.fail(store_unavailable())

    async def _settle(self, batch: Sequence[_Request]) -> None:
        """Answer every request of `batch`, whatever happens to the others."""
        try:
            answers = await retry_deadlock(lambda: self._commit(batch))
        except TokenServiceError as error:
            for request in batch:
                request.fail(
                    TokenServiceError(error.reason, error.message, retry_after=error.retry_after)
                )
        except Exception as error:  # noqa: BLE001 - a request that cannot be carried out
            if len(batch) == 1:
                batch[0].fail(error)
                return
            for request in batch:  # rolled back as a whole; alone, the others succeed
                await self._settle([request])
        else:
            for request, answer in zip(batch, answers, strict=True):
                request.succeed(answer)

    async def _commit(self, batch: Sequence[_Request]) -> list[Revoked]:
        now = max(request.now for request in batch)
        async with self._database.transaction() as conn:
            revocations = [request.revocation for request in batch]
            return await revocation_effects.apply(conn, revocations, now)
