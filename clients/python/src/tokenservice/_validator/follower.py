"""Follows the trust feed: streams end, servers go, and the next one continues where it was."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING, Final, Protocol

from tokenservice._backoff import Pauses
from tokenservice._errors import TokenServiceError
from tokenservice._validator.feed import FeedBroken, FeedReader
from tokenservice._validator.outages import FEED, Outages, text_of
from tokenservice.v1 import trust_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tokenservice._decisions.local_validator import LocalValidator

RENEW_SECONDS: Final = 300.0
"""A stream is opened anew this often: to relate the clocks again, and to reach new servers."""

REANCHOR_SECONDS: Final = 1.0
"""The same while the clocks are related but roughly."""

ROUGH: Final = 0.1
"""Roughly means: by more than this part of the staleness limit."""

MIN_PATIENCE: Final = 4.5
"""Seconds; a server gives a sign of life every two."""

SOUND_SECONDS: Final = 5.0
"""A stream that went on for so long was a good one; whoever ends each at once has failed."""

_log = logging.getLogger("tokenservice.feed")


class Stream(Protocol):
    """An open WatchTrust call."""

    @property
    def outdated(self) -> bool:
        """Whether another stream would go over a newer channel."""
        ...

    async def read(self) -> object:
        """Give the next message, or ``grpc.aio.EOF``. Raises TokenServiceError."""
        ...

    def cancel(self) -> bool:
        """End the call."""
        ...


class TrustFollower:
    """Keeps a validator's view of the trust log fresh, for as long as :meth:`run` runs.

    ``watch`` opens a stream on any server; it takes a function that says what to ask for, and
    calls it at the last moment, since the clocks are related from then on. Randomness ([0, 1)) and
    sleep are given by tests.
    """

    def __init__(
        self,
        local: LocalValidator,
        watch: Callable[[Callable[[], pb.WatchTrustRequest]], Awaitable[Stream]],
        *,
        renew_after: float = RENEW_SECONDS,
        outages: Outages | None = None,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._local = local
        self._watch = watch
        self._outages = outages or Outages()
        self._random = random
        self._sleep = sleep
        self._pauses = Pauses(random)
        self._renew_after = renew_after
        self._patience = max(MIN_PATIENCE, local.staleness_limit)
        self._reader = FeedReader(local.trust, local.clock, local.keys_changed, local.forget)
        self._waiting: set[tuple[int, asyncio.Future[None]]] = set()
        self.ready = asyncio.Event()
        """Set once there has been a fresh view."""

    async def reach(self, revision: int, within: float) -> bool:
        """Wait up to ``within`` seconds for the view to come to ``revision``; whether it has."""
        if self._local.revision >= revision:
            return True
        reached = asyncio.get_running_loop().create_future()
        waiting = (revision, reached)
        self._waiting.add(waiting)
        try:
            await asyncio.wait((reached,), timeout=within)
        finally:
            self._waiting.discard(waiting)
        return reached.done()

    def _advanced(self) -> None:
        """Tell those who wait for a revision that has come."""
        if self._waiting:
            known = self._local.revision
            for revision, reached in self._waiting:
                if revision <= known and not reached.done():
                    reached.set_result(None)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow()
            except (FeedBroken, TokenServiceError, TimeoutError) as failure:
                _log.debug("trust feed: %s", text_of(failure))
                if not self._local.fresh:
                    self._outages.lost(FEED, failure)
                await self._sleep(self._pauses.after(failure))

    async def _follow(self) -> None:
        """Follow one stream; returns when it is time for another, raises when it ended."""
        async with asyncio.timeout(self._patience):
            stream = await self._watch(self._reader.begin)
        try:
            await self._read(stream)
        finally:
            stream.cancel()

    async def _read(self, stream: Stream) -> None:
        local, boot = self._local, self._local.clock.boot
        started = boot()
        until = started + self._renew_after * (0.8 + 0.4 * self._random())
        while True:
            # Who says nothing that makes the view fresh is as good as dead.
            async with asyncio.timeout(self._patience):
                while True:
                    message = await stream.read()
                    if not isinstance(message, pb.WatchTrustResponse):  # EOF
                        raise FeedBroken("the stream ended")
                    self._reader.apply(message)
                    self._advanced()
                    if local.fresh or self._reader.in_snapshot:
                        break
            if not local.fresh:
                continue
            self.ready.set()
            self._outages.found(FEED)
            age = boot() - started
            if age >= SOUND_SECONDS:
                self._pauses.over()
            if boot() >= until or self._rough(age) or stream.outdated:
                return

    def _rough(self, age: float) -> bool:
        rough = ROUGH * self._local.staleness_limit
        return age >= REANCHOR_SECONDS and self._reader.off_by > rough
