"""Stores that a test may stop, apart from those that all tests share."""

from dataclasses import dataclass

from tests.support.world import World
from token_service.adapters.embedded import EmbeddedPostgres, EmbeddedValkey


@dataclass(frozen=True, slots=True)
class Breakable:
    """The stores, and the seeded world in them. Each test leaves them running."""

    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    world: World
