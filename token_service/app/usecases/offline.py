"""Use cases of commands that go to the stores without a server, composed."""

from token_service.app.parts import Parts
from token_service.usecases.clients.bootstrap import BootstrapClient
from token_service.usecases.demo import SeedDemo
from token_service.usecases.tokens.token_limits import TokenLimits


def bootstrap_client(parts: Parts) -> BootstrapClient:
    """Write a client to the store, with its secret."""
    return BootstrapClient(
        store=parts.clients,
        secrets=parts.secrets,
        clock=parts.clock,
        random=parts.random,
        limits=TokenLimits(parts.tokens),
    )


def seed_demo(parts: Parts) -> SeedDemo:
    """Make what is missing of the demo."""
    return SeedDemo(
        clients=parts.clients,
        users=parts.users,
        secrets=parts.secrets,
        hasher=parts.hasher,
        clock=parts.clock,
        random=parts.random,
        limits=TokenLimits(parts.tokens),
    )
