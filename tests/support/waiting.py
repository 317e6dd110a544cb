"""Waiting in tests: for an event or a condition, and never for a time that a machine must keep.

A test that waits ends when what it waits for has happened. Only one that hangs is ended by a time,
`PATIENCE`, which says nothing about the speed of the product.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable

PATIENCE = 60.0
"""Seconds after which a test counts as hung: many times what the slowest machine needs."""

LOOKING = 0.005
"""Seconds between two looks."""


def patience(seconds: float = PATIENCE) -> asyncio.Timeout:
    """An end for the block that waits; raises TimeoutError. Longer where the work is long."""
    return asyncio.timeout(max(seconds, PATIENCE))


async def until(condition: Callable[[], object | Awaitable[object]]) -> None:
    """Look again and again until the condition holds."""
    async with patience():
        while True:
            found = condition()
            if await found if isawaitable(found) else found:
                return
            await asyncio.sleep(LOOKING)


def wait_until(
    condition: Callable[[], object], instead: Callable[[], str] = lambda: "it does not come about"
) -> None:
    """The same in a thread; `instead` says what is there at the end of the patience."""
    hung_at = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < hung_at, instead()
        time.sleep(LOOKING)
