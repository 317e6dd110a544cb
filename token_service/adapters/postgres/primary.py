"""Finds the primary among several servers, of which some may be silent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from asyncpg import Record

    from token_service.adapters.postgres.dsn import Server

Connection: TypeAlias = "asyncpg.Connection[Record]"
Attempt: TypeAlias = "Callable[[Server], Awaitable[Connection]]"

HEAD_START = 0.25
"""How long a server may be silent before the next one is tried beside it, in seconds."""


async def find_primary(
    servers: Sequence[Server],
    attempt: Attempt,
    *,
    within: float,
    head_start: float = HEAD_START,
) -> tuple[Server, Connection]:
    """The first server whose `attempt` succeeds, and the connection to it.

    They are tried in their order: the next one when one fails, and beside it when it has been
    silent for `head_start`, or less where else not all would be tried. All together have `within`
    seconds. Raises what tells most of what the
    attempts raised, with a note for each server, or TimeoutError.
    """
    race = _Race(attempt)
    try:
        async with asyncio.timeout(within):
            return await race.run(list(servers), min(head_start, within / (len(servers) + 1)))
    except TimeoutError as error:
        raise race.verdict(error) from None
    finally:
        race.end()


async def require_primary(conn: Connection) -> None:
    """Raises TargetServerAttributeNotMatched for a standby. No round trip, unless a pooler keeps
    what the server reports to itself."""
    standby: object = getattr(conn.get_settings(), "in_hot_standby", None)
    if standby is None:
        standby = await conn.fetchval("SELECT pg_is_in_recovery()")
    if standby in (True, "on"):
        raise asyncpg.TargetServerAttributeNotMatched("the server is a standby")


class _Race:
    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._running: dict[asyncio.Task[Connection], Server] = {}
        self._failed: list[tuple[Server, Exception]] = []

    async def run(self, waiting: list[Server], head_start: float) -> tuple[Server, Connection]:
        while waiting or self._running:
            if waiting:
                self._start(waiting.pop(0))
            done, _ = await asyncio.wait(
                self._running,
                timeout=head_start if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                error = task.exception()
                if error is None:
                    return self._running.pop(task), task.result()
                if not isinstance(error, Exception):
                    raise error
                self._failed.append((self._running.pop(task), error))
        raise self.verdict(TimeoutError())

    def _start(self, server: Server) -> None:
        task = asyncio.ensure_future(self._attempt(server))
        self._running[task] = server

    def verdict(self, late: TimeoutError) -> Exception:
        """What tells most: a refusal, then a server that is none to write to, then silence."""
        late_ones = [(server, late) for server in self._running.values()]
        outcomes: list[tuple[Server, Exception]] = [*self._failed, *late_ones]
        error = max((error for _, error in outcomes), key=_telling, default=late)
        for server, of_server in outcomes:
            error.add_note(f"{server}: {type(of_server).__name__}")
        return error

    def end(self) -> None:
        for task in self._running:
            task.cancel()
            task.add_done_callback(_discard)


def _telling(error: Exception) -> int:
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return 2
    if isinstance(error, asyncpg.PostgresError):
        return 3
    return 0 if isinstance(error, TimeoutError) else 1


def _discard(task: asyncio.Task[Connection]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()
