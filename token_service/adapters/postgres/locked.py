"""Rows that another transaction holds: asked for again, and no connection is kept meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, TypeVar

from token_service.adapters.postgres.failures import LOCKED, retry_deadlock
from token_service.domain import deadline
from token_service.domain.errors import store_unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from token_service.adapters.postgres.pool import Database

T = TypeVar("T")

FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.2
"""Between two tries, in seconds. Statements hold rows for less than the first; what holds one for
longer than a few of the longest is stuck."""


class RowLocked(Exception):  # noqa: N818 - no error: it is tried again
    """Nothing was changed, for another transaction holds a row that was to be."""


async def until_free(
    attempt: Callable[[], Awaitable[T]], database: Database, within: float | None = None
) -> T:
    """What `attempt` comes to once it does not raise RowLocked any more, and the server does not
    undo it because of a deadlock.

    Its statements skip rows that are locked (SKIP LOCKED) instead of waiting for them: a row that
    stays locked costs those who need it their time, and the others no connection. Raises
    STORE_UNAVAILABLE when the row is locked for longer than `within` seconds (as a call of
    `database`, where they are not given), or than the caller has time.
    """
    seconds = database.call_timeout if within is None else within
    ends_at = time.monotonic() + deadline.remaining(seconds)
    pause = FIRST_PAUSE
    while True:
        try:
            return await retry_deadlock(attempt)
        except RowLocked:
            if time.monotonic() + pause > ends_at:
                database.tell(LOCKED)
                raise store_unavailable() from None
        # Not all at the same moment: of those who wait for one row, one gets it at a time.
        await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - no secret
        pause = min(2 * pause, LONGEST_PAUSE)
