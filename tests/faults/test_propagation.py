"""How long a token revoked on one node is still accepted on another."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence

import pytest_asyncio

from tests.faults.callers import Callers
from tests.support.servers import ServerProcess
from tests.support.world import World

REVOCATIONS = 100
UNHEARD = 20
BOUND = 1.5
"""Seconds, on a machine that is busy with other things. See what is printed for what it takes."""
PROMISE = 5.0
"""The staleness limit, in seconds."""
PAUSE = 0.002
"""Between two questions, in seconds."""
SPREAD = 0.13
"""Between revocations, in seconds, so that they meet the poll's interval in all its phases."""


async def lived_on(node: Callers, token: str) -> float:
    """Seconds until the node refuses the token; counted from the acknowledgement on."""
    acknowledged = time.monotonic()
    while await node.gateway.verdict(token) != "REVOKED":
        assert time.monotonic() - acknowledged < PROMISE
        await asyncio.sleep(PAUSE)
    return time.monotonic() - acknowledged


def report(name: str, times: Sequence[float]) -> tuple[float, float]:
    """Print and return the median and the 99th percentile, in seconds."""
    ordered = sorted(times)
    median, late = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99) - 1]
    sys.stderr.write(
        f"\n{name}: p50 {median * 1000:.1f} ms, p99 {late * 1000:.1f} ms, "
        f"longest {ordered[-1] * 1000:.1f} ms\n"
    )
    return median, late


async def test_a_revocation_is_heard_at_once(nodes: tuple[Callers, Callers]) -> None:
    one, two = nodes
    times = []
    for _ in range(REVOCATIONS):
        tokens = await one.own_session()
        access = tokens.access_tokens[0].token
        assert await two.gateway.verdict(access) == "ACTIVE"
        await one.client("api").revoke(token=tokens.session_token)
        times.append(await lived_on(two, access))
    _, late = report("revoked elsewhere", times)
    assert late < BOUND


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


async def test_a_revocation_is_noticed_also_where_no_notification_arrives(
    nodes: tuple[Callers, Callers], deaf: Callers
) -> None:
    watching = []
    for _ in range(UNHEARD):
        tokens = await nodes[0].own_session()
        access = tokens.access_tokens[0].token
        assert await deaf.gateway.verdict(access) == "ACTIVE"
        await nodes[0].client("api").revoke(token=tokens.session_token)
        watching.append(asyncio.create_task(lived_on(deaf, access)))
        await asyncio.sleep(SPREAD)
    times = await asyncio.gather(*watching)
    report("revoked elsewhere, notification lost", times)
    assert max(times) > BOUND / 10, "the server was not deaf"
    assert sorted(times)[int(UNHEARD * 0.9)] <= BOUND
