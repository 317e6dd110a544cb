"""Calls whose request has not arrived yet: how many may wait for it, and how long.

A call costs memory from its headers on. Its request is read only once its caller is known, so that
whoever has no credentials cannot make the server hold one.
"""

import asyncio
import time
from typing import NoReturn, Protocol, cast

import grpc

from token_service.domain.errors import TokenServiceError
from token_service.rpc.context import Context
from token_service.rpc.errors import late_request, overloaded


class Arriving(Protocol):
    """A call whose request is waited for. `started` is a reading of `time.perf_counter`."""

    started: float

    async def failed(self, error: BaseException, context: Context) -> NoReturn:
        """End it with this error; always raises."""


class Arrivals:
    """Reads requests, and gives up on those that do not come.

    Nobody is refused for the sake of who waits: where too many do, the one that has waited longest
    is ended, since a request that is really sent is there within moments.
    """

    __slots__ = ("_ending", "_most", "_seconds", "_waiting")

    def __init__(self, most: int, seconds: float) -> None:
        """At most `most` calls wait, and each `seconds` at the longest."""
        self._most = most
        self._seconds = seconds
        self._waiting: dict[Arriving, Context] = {}
        self._ending: dict[Arriving, asyncio.Task[None]] = {}

    @property
    def waiting(self) -> int:
        """How many calls wait now."""
        return len(self._waiting)

    async def request(self, call: Arriving, context: Context) -> bytes | None:
        """The request of this call; None when the client closed its side without one. Raises
        CancelledError when it went away, and AbortError when the wait was ended here."""
        waiting = self._waiting
        if len(waiting) >= self._most:
            self._end(next(iter(waiting)), overloaded())
        waiting[call] = context
        try:
            raw = await context.read()
        except BaseException:
            waiting.pop(call, None)
            raise
        if waiting.pop(call, None) is None:
            await self._ending[call]
        return None if raw is grpc.aio.EOF else cast("bytes", raw)

    def end_late(self) -> None:
        """End the calls that have waited too long."""
        before = time.perf_counter() - self._seconds
        for call in tuple(self._waiting):
            if call.started > before:
                return
            self._end(call, late_request())

    def _end(self, call: Arriving, refusal: TokenServiceError) -> None:
        """The status goes out beside the read, which ends with it: a read that is cancelled keeps
        what it waited for from being freed."""
        context = self._waiting.pop(call)
        ending = asyncio.get_running_loop().create_task(call.failed(refusal, context))
        self._ending[call] = ending
        ending.add_done_callback(lambda _: self._ended(call))

    def _ended(self, call: Arriving) -> None:
        ending = self._ending.pop(call)
        if not ending.cancelled():
            ending.exception()  # the library's, by which the call itself ends as well
