"""A server of the tiny service, and a channel to it."""

from collections.abc import AsyncIterator

import grpc
import pytest

from tests.rpc.echo import (
    World,
    connected,
    serving,
)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with serving() as world:
        yield world


@pytest.fixture
async def channel(world: World) -> AsyncIterator[grpc.aio.Channel]:
    async with connected(world) as channel:
        yield channel
