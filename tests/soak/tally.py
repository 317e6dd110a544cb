"""What became of every call."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import Any, TypeVar

import grpc

from tests.support.api import reason_of

Reply = TypeVar("Reply")

OK = "OK"
REVOCATIONS = (
    "revoke: OK",
    "revoke a session by id: OK",
    "exchange a token twice: UNAUTHENTICATED TOKEN_REUSED",
    "disable a user: OK",
    "delete a user: OK",
    "disable a client: OK",
)
OPENINGS = (
    "open a session",
    "log in",
    "collect a pairing",
    "call over a new connection",
    "deadline too short",
)


class GaveUpError(Exception):
    """A call ended as it should not have; it was counted, and what depends on it is not done."""


class Tally:
    """Outcomes by kind of call: those that were meant to be, and those that were not."""

    def __init__(self) -> None:
        self.expected: Counter[str] = Counter()
        self.unexpected: Counter[str] = Counter()
        self.begun: Counter[str] = Counter()
        self.in_flight = 0

    async def call(self, kind: str, call: Awaitable[Reply], *allowed: str) -> Reply:
        """The reply to a call that may end in the `allowed` ways, as status, or as status and
        reason; OK alone where none are given. Raises GaveUpError for any other end, and for an
        allowed one that is not OK."""
        self.in_flight += 1
        try:
            reply = await call
        except grpc.aio.AioRpcError as error:
            self.note(kind, f"{error.code().name} {reason_of(error)}".strip(), *allowed)
            raise GaveUpError from None
        finally:
            self.in_flight -= 1
        self.note(kind, OK, *allowed)
        return reply

    async def refused(self, kind: str, call: Awaitable[object], *allowed: str) -> None:
        """A call that has to end in one of these ways."""
        try:
            await self.call(kind, call, *allowed)
        except GaveUpError:
            return

    async def cancelled(self, kind: str, call: Any, after: float) -> None:
        """Cancel a call after so many seconds; that it was quicker is as good."""
        await asyncio.sleep(after)
        call.cancel()
        try:
            await call
        except asyncio.CancelledError:
            self.note(kind, "CANCELLED", "CANCELLED")
        except grpc.aio.AioRpcError as error:
            self.note(kind, error.code().name)
        else:
            self.note(kind, OK)

    def note(self, kind: str, outcome: str, *allowed: str) -> None:
        """Count one outcome."""
        fine = not {outcome, outcome.split(maxsplit=1)[0]}.isdisjoint(allowed or (OK,))
        (self.expected if fine else self.unexpected)[f"{kind}: {outcome}"] += 1

    def copy(self) -> "Tally":
        """As it is now."""
        copied = Tally()
        copied.expected, copied.unexpected = self.expected.copy(), self.unexpected.copy()
        copied.begun = self.begun.copy()
        return copied

    @property
    def revocations(self) -> int:
        """Calls that wrote to the trust log."""
        return sum(n for kind, n in self.expected.items() if kind in REVOCATIONS)

    @property
    def sessions(self) -> int:
        """Calls that opened a session, as far as is known."""
        return sum(map(self.done, OPENINGS))

    def done(self, kind: str) -> int:
        """How many calls of that kind were answered with OK."""
        return self.expected[f"{kind}: {OK}"]
