"""Keeps a crowd of calls from trying to connect to a server that refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from token_service.adapters.postgres.failures import ENDED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

PAUSE_SECONDS = 0.25
"""Between attempts to connect after one that failed."""

ENDED_SECONDS = 0.02
"""The same after one that was ended before it was done: as a rule the next one succeeds."""


class ConnectGate:
    """After a failed attempt one is made per `PAUSE_SECONDS`, until one succeeds; the others fail
    as the last one did, at once. `clock` is monotonic and in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failure: Exception | None = None
        self._next = 0.0

    async def through(self, connect: Callable[[], Awaitable[T]]) -> T:
        """What `connect` gives. Raises what it raises, or raised shortly before."""
        if self._failure is not None:
            now = self._clock()
            if now < self._next:
                raise self._failure.with_traceback(None)
            self._next = now + PAUSE_SECONDS
        try:
            connected = await connect()
        except Exception as error:
            self._failure = error
            pause = ENDED_SECONDS if isinstance(error, ENDED) else PAUSE_SECONDS
            self._next = self._clock() + pause
            raise
        self._failure = None
        return connected
