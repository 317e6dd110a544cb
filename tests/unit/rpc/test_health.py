"""What watchers of the health service hear while nothing changes."""

import asyncio
from typing import Any, cast

from grpc_health.v1.health_pb2 import (  # type: ignore[import-untyped]
    HealthCheckRequest,
    HealthCheckResponse,
)

from tests.support.waiting import patience
from token_service.rpc.health import Health

NOBODY = cast("Any", None)
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def test_a_state_is_told_again_before_a_proxy_takes_the_stream_for_dead() -> None:
    health = Health(lambda: True, repeat_after=0.01)
    health.tell(serving=True)
    stream = health.watch(NOBODY, HealthCheckRequest())
    async with patience():
        assert [(await anext(stream)).status for _ in range(3)] == [SERVING] * 3
        health.tell(serving=False)
        assert (await anext(stream)).status == NOT_SERVING
    await stream.aclose()


async def test_it_is_not_told_again_before_that() -> None:
    health = Health(lambda: True, repeat_after=3_600)
    health.tell(serving=True)
    stream = health.watch(NOBODY, HealthCheckRequest())
    assert (await anext(stream)).status == SERVING
    waiting = asyncio.ensure_future(anext(stream))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not waiting.done()
    health.tell(serving=False)
    assert (await waiting).status == NOT_SERVING
    await stream.aclose()
