"""Long calls and their tokens: a stream ends when its token is no longer good."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeVar

from tokenservice.middleware._common import Refusal, next_check, refusal_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine
    from typing import Any

    from tokenservice._decisions.decision import Decision, Principal

T = TypeVar("T")

GRACE: Final = 1.0
"""Seconds that a handler has for cleaning up before its caller is cut off regardless."""


class TokenEnded(Exception):  # noqa: N818 - an event, not a fault
    """The token of a long call is no longer good; ``refusal`` says what its holder is told."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal


async def until_refused(
    decide: Callable[[], Awaitable[Decision]], principal: Principal, every: float
) -> Refusal:
    """Look at a token again and again until it is refused; returns how.

    An answer that cannot be had is a refusal, as at the beginning of the call.
    """
    while True:
        await asyncio.sleep(next_check(principal, time.time(), every))
        decision = await decide()
        refusal = refusal_of(decision)
        if refusal is not None:
            return refusal
        principal = decision.principal or principal


async def while_good(work: Coroutine[Any, Any, T], watch: Coroutine[Any, Any, Refusal]) -> T:
    """Do the work; cancel it and raise TokenEnded when the watch says that its token is refused.

    A watch that fails ends the work as well and raises what it failed with.
    """
    working, watching = asyncio.create_task(work), asyncio.create_task(watch)
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise TokenEnded(watching.result())
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.wait({working, watching}, timeout=GRACE)
