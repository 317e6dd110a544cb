"""Waiting for what happens soon but not at once: on a condition, with an end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from tests.faults.callers import Callers
from tests.faults.outcomes import outcome

WITHIN = 15.0
"""Seconds; what is waited for takes milliseconds on an idle machine."""

PAUSE = 0.01


async def until(condition: Callable[[], Awaitable[bool]], within: float = WITHIN) -> float:
    """Ask again and again until the answer is yes; how many seconds that took."""
    started = time.monotonic()
    while not await condition():
        if time.monotonic() - started > within:
            raise AssertionError(f"not after {within:.0f} s")
        await asyncio.sleep(PAUSE)
    return time.monotonic() - started


async def until_recognised(nodes: tuple[Callers, ...], client: str) -> None:
    """Until every node has heard that the client was enabled again."""
    for node in nodes:
        await until(partial(_recognises, node, client))


async def _recognises(node: Callers, client: str) -> bool:
    refusal = await outcome(node.client(client).exchange("no token"))
    return refusal != "CALLER_UNAUTHENTICATED"
