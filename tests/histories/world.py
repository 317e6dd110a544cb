"""The clients of a run, in an empty database."""

from tests.support.world import World, add_clients
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.app.parts import Parts
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.kinds import (
    AccessFormat,
    CredentialKind,
    Permission,
    Platform,
    TokenScheme,
)

AUDIENCE = "orders"
WIDE, NARROW = ("orders.read", "orders.write"), ("orders.read",)
ROLE = "sales"
ROLLING = "app-rolling"
APPS = ("app-1", "app-2", "app-3", "app-opaque", ROLLING)
"""Clients with sessions of their own."""
REWRITTEN, SWITCHED = "app-rewritten", "app-switched"
"""The client whose policy is changed, and the one that is disabled and enabled."""

_PERMISSIONS = frozenset(
    {
        Permission.TOKENS_ISSUE,
        Permission.TOKENS_EXCHANGE,
        Permission.TOKENS_REVOKE,
        Permission.SESSIONS_READ,
    }
)


def _app(platform: Platform = Platform.API, **policy: object) -> ClientPolicy:
    return ClientPolicy(
        platforms=frozenset({platform}),
        audiences=(AUDIENCE,),
        scopes=frozenset(WIDE),
        permissions=_PERMISSIONS | {Permission.PAIRING},
        **policy,  # type: ignore[arg-type]
    )


_PASSWORD = frozenset({CredentialKind.PASSWORD})
POLICIES = {
    **{name: _app() for name in APPS},
    "app-opaque": _app(access_format=AccessFormat.OPAQUE),
    ROLLING: _app(scheme=TokenScheme.ROLLING),
    REWRITTEN: _app(),
    SWITCHED: _app(),
    "web": _app(Platform.WEB, credentials=_PASSWORD, may_pair_for=frozenset({"mobile"})),
    "mobile": _app(Platform.MOBILE, credentials=_PASSWORD, may_pair_for=frozenset({"web"})),
    "shop": ClientPolicy(permissions=frozenset({Permission.CODES})),
    "gateway": ClientPolicy(
        protects_audiences=frozenset({AUDIENCE}),
        permissions=frozenset(
            {Permission.TOKENS_VALIDATE, Permission.TRUST_WATCH, Permission.TOKENS_REVOKE}
        ),
    ),
    "admin": ClientPolicy(platforms=frozenset({Platform.API}), permissions=frozenset(Permission)),
}


async def populate(dsn: str, redis_url: str | None, secret_keys: str = "") -> World:
    """Put the clients into a migrated database."""
    keys = secret_keys or SecretKeys.generate_text()
    world = World(dsn, redis_url, keys, {}, "", "")
    parts = await Parts.open(world.settings())
    try:
        await add_clients(world, parts, POLICIES, (ROLE, WIDE), actor="histories")
    finally:
        await parts.close()
    return world
