"""The client package as a caller of the servers under test."""

from collections.abc import Sequence
from typing import Any

from tests.support.world import World
from tokenservice import ClientSecret, Connection


def secret_of(world: World, client_id: str) -> ClientSecret:
    """The credentials of one of the demo clients."""
    return ClientSecret(client_id, world.clients[client_id])


def connect(
    world: World, targets: str | Sequence[str], client_id: str, **options: Any
) -> Connection:
    """A connection as one of the demo clients."""
    return Connection(targets, secret_of(world, client_id), **options)
