"""Fencing: what decides or revokes is written to the log that this node follows, or not at all.

Connections of one node may lead to a server that was just promoted, and to one that was succeeded
and does not know it yet. So each such statement repeats the epoch, and compares the timeline that
the server writes with the one on which the log was last looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg

from token_service.domain.errors import Reason, TokenServiceError, store_unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asyncpg import Record

ON_KNOWN_TIMELINE = "(h.timeline IS NULL OR h.timeline = (SELECT trust_timeline()))"
"""That nobody succeeded the server on which the log was looked at, of `trust_head h`."""

_HEAD = "SELECT epoch, revision FROM trust_head"


def is_current(epoch: str) -> str:
    """That besides and that the log is the one which the node follows, given the parameter of its
    epoch; null: it follows none yet."""
    return f"({ON_KNOWN_TIMELINE} AND h.epoch = COALESCE({epoch}::uuid, h.epoch))"


class LogMovedError(TokenServiceError):
    """The statement wrote nothing: the server has to be looked at first. That is STORE_UNAVAILABLE
    for whoever does not run the transaction again after `renew`, which its database has set."""

    renew: Callable[[], Awaitable[None]] | None = None

    def __init__(self) -> None:
        super().__init__(Reason.STORE_UNAVAILABLE, store_unavailable().message)


class Fencing:
    """The log that this node follows, for the statements of one database."""

    def __init__(self) -> None:
        self._epoch: Callable[[], str] = str
        self._revision: Callable[[], int] = int
        self._renew: Callable[[], Awaitable[None]] | None = None

    def follow(
        self,
        epoch: Callable[[], str],
        renew: Callable[[], Awaitable[None]],
        revision: Callable[[], int] = int,
    ) -> None:
        """`epoch` tells that of the log ("" for none yet) and `revision` how far it was read,
        `renew` looks at the server anew and raises STORE_UNAVAILABLE where that cannot be done in
        time."""
        self._epoch, self._renew, self._revision = epoch, renew, revision

    @property
    def epoch(self) -> str | None:
        """The epoch, as a parameter of `is_current`."""
        return self._epoch() or None

    async def require_unsucceeded(self, conn: asyncpg.Connection[Record]) -> None:
        """Raise TargetServerAttributeNotMatched for a server whose log this node knows to have
        ended, though the server may not: what it says of sessions is old.

        Each epoch begins above all numbers of those before it, so a later one is not refused.
        """
        if not (epoch := self._epoch()):
            return
        head = await conn.fetchrow(_HEAD)
        if head and str(head["epoch"]) != epoch and head["revision"] < self._revision():
            raise asyncpg.TargetServerAttributeNotMatched("the server was succeeded")

    async def renew(self) -> None:
        """Look at the server. Raises STORE_UNAVAILABLE."""
        if self._renew is None:
            raise store_unavailable()
        await self._renew()

    def moved(self) -> LogMovedError:
        """For a statement that wrote nothing, with which `retry_deadlock` runs it again."""
        error = LogMovedError()
        error.renew = self.renew
        return error

    async def passed(self, row: Record | None) -> None:
        """Look at the server unless `current` of the statement's row is true. The statement wrote
        nothing in any case, and what it goes by has to be decided again."""
        if row is None or not row["current"]:
            await self.renew()
