"""Connections that are being made outlive the calls that asked for them.

Where each round trip takes long, a connection takes longer than one call may: each would break off
what the one before it had begun, and none would ever be made.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from token_service.adapters.postgres.primary import Connection

    Task = asyncio.Task[Connection]

KEPT_SECONDS = 5.0
"""How long a connection is kept that nobody has taken; later it may lead to a former primary."""


class Underway:
    """Connections that `make` makes, which has an end of its own."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, Connection]]) -> None:
        self._make = make
        self.within: float | None = None
        """How long one is waited for, in seconds."""
        self._left: deque[Task] = deque()
        self._is_closed = False

    async def connection(self) -> Connection:
        """One that was begun for somebody who has left, or a new one.

        Raises what `make` raises, and TimeoutError when there is none `within` its time.
        """
        async with asyncio.timeout(self.within):
            while self._left:
                conn = await self._wait_for(self._left.popleft())
                if not conn.is_closed():
                    return conn
            return await self._wait_for(self._begin())

    def close(self) -> None:
        """Break off what is being made, and close what nobody took."""
        self._is_closed = True
        while self._left:
            _discard(self._left.popleft())

    def forget_made(self) -> None:
        """Close what is made and not taken: it may lead to a former primary."""
        for task in tuple(self._left):
            if task.done():
                self._drop(task)

    async def _wait_for(self, task: Task) -> Connection:
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._leave(task)
            raise

    def _begin(self) -> Task:
        # In a context of its own: it is nobody's call, and no caller's deadline ends it.
        return asyncio.create_task(self._make(), context=Context())

    def _leave(self, task: Task) -> None:
        """Keep it for the next who asks."""
        if self._is_closed:
            _discard(task)
            return
        self._left.append(task)
        task.add_done_callback(self._made)

    def _made(self, task: Task) -> None:
        if task.cancelled() or task.exception() is not None:
            self._drop(task)
        else:
            asyncio.get_running_loop().call_later(KEPT_SECONDS, self._drop, task)

    def _drop(self, task: Task) -> None:
        if task in self._left:
            self._left.remove(task)
            _discard(task)


def _discard(task: Task) -> None:
    """Close the connection, now or when it is made."""
    if not task.done():
        task.add_done_callback(_discard)
        task.cancel()
    elif not task.cancelled() and task.exception() is None:
        task.result().terminate()
