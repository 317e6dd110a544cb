"""Commits that say: what was visible before outlives a failover."""

import time
from collections.abc import Callable, Hashable, Sequence

from token_service.adapters.postgres.fencing import is_current
from token_service.adapters.postgres.gathering import MOST_WAITING, Gathering
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.replication import WAITING_RECORD
from token_service.domain import durability
from token_service.domain.durability import Basis
from token_service.domain.errors import store_unavailable
from tokenservice.core.bounded_cache import put_bounded

REMEMBERED_SECONDS = 60.0
MOST_REMEMBERED = 10_000

LANES = 1
"""A second commit would wait for the same standby."""

# Replication keeps the order of the log: once this record is acknowledged, so is all before it.
# On another server than the one that was read (a failover came in between) it proves nothing.
_SETTLE = f"""
SELECT {WAITING_RECORD}
FROM trust_head h WHERE {is_current("$1")}
"""  # noqa: S608 - constants


class Durability:
    """`domain.ports.Durability` on PostgreSQL; `allowed` says whether changes may be acknowledged
    at all. Whoever asks while a commit is under way shares the next one."""

    def __init__(
        self,
        database: Database,
        allowed: Callable[[], bool] = lambda: True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._allowed = allowed
        self._monotonic = monotonic
        self._gathering: Gathering[str | None, bool] = Gathering(
            self._commit, lambda epoch: epoch, lanes=LANES, most=MOST_WAITING
        )
        self._confirmed: dict[Hashable, float] = {}

    def begin(self) -> Basis:
        """See the port."""
        if not self._allowed():
            raise store_unavailable()
        return durability.start(self._database.fencing.epoch)

    async def settle(self, epoch: str | None) -> None:
        """See the port."""
        if not await self._gathering.ask(epoch):
            await self._database.fencing.renew()
            raise store_unavailable()  # what was read has to be read again
        durability.note_commit()

    async def confirm(self, fact: Hashable) -> None:
        """See the port."""
        basis = durability.current()
        epoch = self._database.fencing.epoch if basis is None else basis.epoch
        known = (fact, epoch)
        if self._confirmed.get(known, 0.0) > self._monotonic():
            durability.note_commit()
            return
        await self.settle(epoch)
        until = self._monotonic() + REMEMBERED_SECONDS
        put_bounded(self._confirmed, known, until, MOST_REMEMBERED)

    async def close(self) -> None:
        """Finish what was asked."""
        await self._gathering.close()

    async def _commit(self, asked: Sequence[str | None]) -> list[bool]:
        row = await self._database.fetchrow(_SETTLE, asked[0])
        return [row is not None] * len(asked)
