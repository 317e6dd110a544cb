"""How long a token revoked on one node is still accepted on another."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from statistics import median

import pytest_asyncio

from tests.support.callers import Callers
from tests.support.servers import ServerProcess
from tests.support.waiting import until
from tests.support.world import World

REVOCATIONS = 20
SPREAD = 0.13
"""Between revocations, in seconds, so that they meet the poll's interval in all its phases."""


async def lived_on(node: Callers, token: str) -> float:
    """Seconds until the node refuses the token; counted from the acknowledgement on."""
    acknowledged = time.monotonic()
    await until(partial(is_revoked, node, token))
    return time.monotonic() - acknowledged


async def is_revoked(node: Callers, token: str) -> bool:
    return await node.gateway.verdict(token) == "REVOKED"


@pytest_asyncio.fixture(loop_scope="session")
async def deaf(shared_world: World) -> AsyncIterator[Callers]:
    """Callers of a server that no notification reaches."""
    server = ServerProcess(shared_world.environment(), module="tests.faults.deaf")
    try:
        async with Callers(shared_world, server.address) as callers:
            yield callers
    finally:
        server.kill()
        sys.stdout.writelines(server.output[-40:])


async def test_a_revocation_is_heard_at_once_and_noticed_also_where_no_notification_arrives(
    nodes: tuple[Callers, Callers], deaf: Callers
) -> None:
    """A node that hears of it is ahead of one that looks every second."""
    watching = []
    for _ in range(REVOCATIONS):
        tokens = await nodes[0].own_session()
        access = tokens.access_tokens[0].token
        for node in (nodes[1], deaf):
            assert await node.gateway.verdict(access) == "ACTIVE"
        await nodes[0].client("api").revoke(token=tokens.session_token)
        both = (lived_on(nodes[1], access), lived_on(deaf, access))
        watching.append(asyncio.ensure_future(asyncio.gather(*both)))
        await asyncio.sleep(SPREAD)
    heard, noticed = zip(*await asyncio.gather(*watching), strict=True)
    assert median(heard) < median(noticed) / 2
