"""Waiting for what one node has heard of another."""

from functools import partial

from tests.support.callers import Callers
from tests.support.outcomes import outcome
from tests.support.waiting import until


async def until_recognised(nodes: tuple[Callers, ...], client: str) -> None:
    """Until every node has heard that the client was enabled again."""
    for node in nodes:
        await until(partial(_recognises, node, client))


async def _recognises(node: Callers, client: str) -> bool:
    refusal = await outcome(node.client(client).exchange("no token"))
    return refusal != "CALLER_UNAUTHENTICATED"
