"""Statements that are never cancelled, only given up.

The driver cancels what takes too long. A commit that waits for its standby then becomes visible,
although no standby has it: a failover would undo what others have seen by then.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import asyncpg
    from asyncpg import Record

NO_LIMIT = 1e6
"""In seconds, for the driver's own limit of a statement, which would cancel it."""

Result = TypeVar("Result")


async def uncancelled(
    conn: asyncpg.Connection[Record], work: Coroutine[Any, Any, Result], *, within: float
) -> Result:
    """Run statements with NO_LIMIT on `conn`; after `within` seconds, or when the caller goes away,
    the connection is dropped. Raises what the driver raises then."""
    task = asyncio.ensure_future(work)
    timer = asyncio.get_running_loop().call_later(within, conn.terminate)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        conn.terminate()
        with contextlib.suppress(Exception):
            await task
        raise
    finally:
        timer.cancel()
