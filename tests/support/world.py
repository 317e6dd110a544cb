"""A seeded database with its credentials, and settings to serve it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.api import Api, basic
from token_service.app.development import seed_demo
from token_service.app.parts import Parts
from token_service.app.usecases.offline import bootstrap_client
from token_service.config import Settings
from token_service.domain.audit import AuditEvent
from token_service.domain.clients.policy import ClientPolicy
from token_service.usecases.demo import USERNAME, DemoCredentials

ISSUER = "https://tokens.test"


@dataclass(frozen=True, slots=True)
class World:
    """Where the data are, and how to get in. `clients` maps client ids to secrets."""

    dsn: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    secret_keys: str = field(repr=False)
    clients: dict[str, str] = field(repr=False)
    username: str
    password: str = field(repr=False)

    def settings(self, **changes: Any) -> Settings:
        """Settings of a server in this process."""
        values: dict[str, Any] = {
            "postgres_dsn": self.dsn,
            "redis_url": self.redis_url,
            "secret_keys": self.secret_keys,
            "issuer": ISSUER,
            "grpc_listen": "127.0.0.1:0",
            "allow_unsafe_durability": True,
            "open_registration": True,
            "reflection": True,
            "environment": "test",
            "drain_delay": 0,
            **changes,
        }
        return Settings(**values)

    def environment(self, **changes: str) -> dict[str, str]:
        """The environment of a server process; `changes` by setting name in lower case."""
        values = {
            "postgres_dsn": self.dsn,
            "secret_keys": self.secret_keys,
            "issuer": ISSUER,
            "grpc_listen": "127.0.0.1:0",
            "allow_unsafe_durability": "true",
            "open_registration": "true",
            "reflection": "true",
            "environment": "test",
            **changes,
        }
        if self.redis_url is not None:
            values.setdefault("redis_url", self.redis_url)
        return {f"TOKEN_SERVICE_{name.upper()}": value for name, value in values.items()}

    def api(self, address: str, client_id: str) -> Api:
        """A caller with the credentials of one of the demo clients."""
        return Api(address, basic(client_id, self.clients[client_id]))

    def moved_to(self, dsn: str, redis_url: str | None) -> "World":
        """The same data at another place."""
        return replace(self, dsn=dsn, redis_url=redis_url)


async def seed(world: World) -> World:
    """Put the demo clients and the demo user into an empty, migrated database."""
    made = await seed_demo(world.settings(), DemoCredentials())
    return replace(
        world, clients=dict(made.clients), username=USERNAME, password=made.users[USERNAME]
    )


async def add_clients(
    world: World,
    parts: Parts,
    policies: Mapping[str, ClientPolicy],
    role: tuple[str, Sequence[str]],
    *,
    actor: str,
) -> None:
    """Put clients of one's own, and a role with its scopes, into an empty, migrated database; the
    clients' secrets into `world`."""
    create = bootstrap_client(parts)
    for client_id, policy in policies.items():
        made = await create(client_id, client_id, "", policy)
        world.clients[client_id] = made.client_secret
    name, scopes = role
    audit = AuditEvent(
        at=parts.clock.now(), actor=actor, action="role.define", outcome="ok", target=name
    )
    await parts.users.define_role(name, scopes, audit)
