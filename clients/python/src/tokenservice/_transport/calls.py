"""One call to the service: deadline, credentials, retries where they are safe, errors."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import grpc

from tokenservice import _messages as messages
from tokenservice._backoff import Backoff
from tokenservice._errors import TokenServiceError, Unreachable, error_of
from tokenservice._listing import Listing, Page
from tokenservice._reason import Reason
from tokenservice._times import seconds_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tokenservice._transport.connection import Connection, Metadata
    from tokenservice._transport.lanes import Stubs

Request = TypeVar("Request")
Response = TypeVar("Response")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to try. Times are in seconds.

    ``repeatable`` calls are sent again when their outcome is unknown: doing them twice does what
    doing them once does. Each attempt then has ``attempt_timeout``, so that a server that went
    silent leaves time for another.
    """

    timeout: float
    repeatable: bool = False
    attempt_timeout: float | None = None


READ: Final = Effort(10.0, repeatable=True, attempt_timeout=3.0)
EXCHANGE: Final = Effort(10.0, repeatable=True, attempt_timeout=3.0)
VALIDATE: Final = Effort(5.0, repeatable=True, attempt_timeout=2.0)
REAUTHENTICATE: Final = Effort(20.0, repeatable=True, attempt_timeout=8.0)
LOGIN: Final = Effort(15.0)
REVOKE_ONE: Final = Effort(10.0, repeatable=True, attempt_timeout=3.0)
REVOKE_MANY: Final = Effort(10.0)
CHANGE: Final = Effort(10.0, repeatable=True, attempt_timeout=3.0)
ONCE: Final = Effort(15.0)
END_MANY: Final = Effort(20.0, repeatable=True, attempt_timeout=9.0)


class Calls:
    """Makes calls over a connection. Clock (monotonic seconds), randomness ([0, 1)) and sleep
    are given by tests."""

    def __init__(
        self,
        connection: Connection,
        *,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connection = connection
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._random = random
        self._sleep = sleep

    async def call(
        self,
        method: Callable[[Stubs], grpc.aio.UnaryUnaryMultiCallable[Request, Response]],
        request: Request,
        effort: Effort,
        timeout: timedelta | None = None,
    ) -> Response:
        """Call, and again after a pause as long as that is safe and there is time.

        Raises TokenServiceError; when the time is over, the one of the last attempt.
        """
        seconds = seconds_of(timeout, "timeout")
        deadline = self._clock() + (effort.timeout if seconds is None else seconds)
        call = _Call(self._connection, effort, lambda: max(0.0, deadline - self._clock()))
        failures = 0
        while True:
            try:
                return await call.attempt(method, request)
            except TokenServiceError as error:
                failures += 1
                pause = self._pause(error, call, failures)
                if pause is None or pause >= call.remaining():
                    raise
            if pause:
                await self._sleep(pause)

    def listing(
        self,
        method: Callable[[Stubs], grpc.aio.UnaryUnaryMultiCallable[Request, Response]],
        request: Callable[[str], Request],
        items: Callable[[Response], Iterable[Item]],
        page_token: str,
        timeout: timedelta | None = None,
    ) -> Listing[Item]:
        """List what `method` gives page by page, from the page that ``page_token`` names.

        `request` asks for the page with a token, `items` are those of a reply, and ``timeout`` is
        for each page.
        """

        async def fetch(token: str) -> Page[Item]:
            with messages.sendable():
                asked = request(token)
            reply: Any = await self.call(method, asked, READ, timeout)
            return Page(tuple(items(reply)), reply.next_page_token)

        return Listing(fetch, page_token)

    def _pause(self, error: TokenServiceError, call: _Call, failures: int) -> float | None:
        """Seconds until the next attempt; None: there must be none."""
        if error.reason is Reason.CALLER_UNAUTHENTICATED:
            return 0.0 if call.renew(error) else None
        unanswered = isinstance(error, Unreachable) and (call.effort.repeatable or not call.sent)
        if not unanswered and not error.for_now:
            return None
        return self._backoff.pause(failures, self._random, error.retry_after)


class _Call:
    """A call in progress; ``remaining`` gives the seconds that are left for it."""

    def __init__(
        self, connection: Connection, effort: Effort, remaining: Callable[[], float]
    ) -> None:
        self._connection = connection
        self._metadata: Metadata = ()
        self._refusal: TokenServiceError | None = None
        self._tried: dict[str, None] = {}
        self.effort = effort
        self.remaining = remaining
        self.sent = False

    async def attempt(
        self,
        method: Callable[[Stubs], grpc.aio.UnaryUnaryMultiCallable[Request, Response]],
        request: Request,
    ) -> Response:
        self.sent = False
        refused = self._metadata
        try:
            async with asyncio.timeout(self.remaining()):
                self._metadata = await self._connection.metadata()
        except TimeoutError:
            raise _no_credential() from None
        if self._refusal is not None and self._metadata == refused:
            raise self._refusal  # there is no other credential
        stubs = await self._stubs()
        remaining = self.remaining()
        limit = min(remaining, self.effort.attempt_timeout or remaining)
        self.sent = True
        try:
            return await method(stubs)(request, timeout=limit, metadata=self._metadata)
        except asyncio.CancelledError:
            self._connection.raise_if_replaced()
            raise
        except grpc.RpcError as error:
            failure = error_of(error)
            if isinstance(failure, Unreachable):
                self._connection.failed(stubs, failure)
                self._tried |= dict.fromkeys(failure.targets)
                failure.targets = tuple(self._tried)
            raise failure from error

    async def _stubs(self) -> Stubs:
        """Those of the next channel; for what must not be sent twice, of one that is connected:
        where that cannot be had, certainly nothing was sent."""
        if self.effort.repeatable:
            return self._connection.stubs()
        return await self._connection.ready_stubs(timedelta(seconds=self.remaining()))

    def renew(self, refusal: TokenServiceError) -> bool:
        """Whether another credential may be had, after the service refused this one. Once."""
        if self._refusal is not None:
            return False
        self._refusal = refusal
        return self._connection.rejected(self._metadata)


def _no_credential() -> Unreachable:
    text = "no credential was to be had in time"
    return Unreachable("", text, grpc.StatusCode.DEADLINE_EXCEEDED)
