"""Validators at real servers, as a gateway has them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from tests.support.waiting import PATIENCE
from tests.support.world import World
from tokenservice import ClientSecret, Connection, Validator


def connection(
    world: World, targets: str | Sequence[str], client: str, **options: Any
) -> Connection:
    """A connection with the credentials of one of the demo clients."""
    return Connection(targets, ClientSecret(client, world.clients[client]), **options)


@asynccontextmanager
async def validating(
    world: World, targets: str | Sequence[str], *, channels: int = 2, **options: Any
) -> AsyncIterator[Validator]:
    """A validator of the demo gateway that has its first view of the trust log."""
    async with (
        connection(world, targets, "demo-gateway", channels=channels) as open_connection,
        Validator(open_connection, **options) as validator,
    ):
        assert await validator.wait_ready(timedelta(seconds=PATIENCE))
        yield validator
