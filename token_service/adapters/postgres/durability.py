"""Commits that say: what was visible before outlives a failover."""

import time
from collections.abc import Callable, Hashable, Sequence

from token_service.adapters.postgres.gathering import MOST_WAITING, Gathering
from token_service.adapters.postgres.pool import Database
from token_service.domain import durability
from token_service.domain.errors import store_unavailable
from tokenservice.core.bounded_cache import put_bounded

REMEMBERED_SECONDS = 60.0
MOST_REMEMBERED = 10_000

LANES = 1
"""A second commit would wait for the same standby."""

# Replication keeps the order of the log: once this record is acknowledged, so is all before it.
# Another log than the one that was read (a failover came in between) proves nothing.
_SETTLE = """
SELECT pg_logical_emit_message(true, 'token-service', '')
FROM trust_head WHERE epoch = $1::uuid
"""


class Durability:
    """`domain.ports.Durability` on PostgreSQL; `epoch` tells which trust log this node follows.

    Whoever asks while a commit is under way shares the next one.
    """

    def __init__(
        self,
        database: Database,
        epoch: Callable[[], str],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._epoch = epoch
        self._monotonic = monotonic
        self._gathering: Gathering[str, bool] = Gathering(
            self._commit, lambda epoch: epoch, lanes=LANES, most=MOST_WAITING
        )
        self._confirmed: dict[Hashable, float] = {}

    @property
    def epoch(self) -> str:
        """The trust log that this node follows."""
        return self._epoch()

    async def settle(self, epoch: str) -> None:
        """Commit, in the trust log `epoch`. Raises STORE_UNAVAILABLE: what was read may be lost."""
        if not await self._gathering.ask(epoch):
            raise store_unavailable()
        durability.note_commit()

    async def confirm(self, fact: Hashable) -> None:
        """Like `settle`, at most once a minute for the same `fact`."""
        basis = durability.current()
        epoch = self.epoch if basis is None else basis.epoch
        known = (fact, epoch)
        if self._confirmed.get(known, 0.0) > self._monotonic():
            durability.note_commit()
            return
        await self.settle(epoch)
        put_bounded(self._confirmed, known, self._monotonic() + REMEMBERED_SECONDS, MOST_REMEMBERED)

    async def close(self) -> None:
        """Finish what was asked."""
        await self._gathering.close()

    async def _commit(self, asked: Sequence[str]) -> list[bool]:
        row = await self._database.fetchrow(_SETTLE, asked[0])
        return [row is not None] * len(asked)
