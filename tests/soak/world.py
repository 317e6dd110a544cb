"""The database, the clients and the server of a soak."""

from dataclasses import dataclass, field
from datetime import timedelta

import asyncpg

from tests.soak.day import (
    ACCESS_SECONDS,
    CONNECTION_SECONDS,
    KEEP_SECONDS,
    ROLLING_SECONDS,
    SESSION_SECONDS,
)
from tests.support.api import Api
from tests.support.servers import ServerProcess
from tests.support.world import World, add_clients
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.app.parts import Parts
from token_service.domain.clients.policy import ClientPolicy, Lifetimes
from token_service.domain.kinds import (
    AccessFormat,
    CredentialKind,
    Permission,
    Platform,
    TokenKind,
    TokenScheme,
)
from tokenservice.core import Facts

AUDIENCE, OTHER_AUDIENCE = "orders", "billing"
SCOPES = ("orders.read", "orders.write")
ROLE = "sales"

_ACCESS = timedelta(seconds=ACCESS_SECONDS)
_LIVES = Lifetimes(
    idle=timedelta(seconds=SESSION_SECONDS),
    absolute=timedelta(seconds=SESSION_SECONDS),
    replay_window=timedelta(seconds=SESSION_SECONDS),
)


def _app(platform: Platform, *more: Permission, **policy: object) -> ClientPolicy:
    return ClientPolicy(
        platforms=frozenset({platform}),
        audiences=(AUDIENCE, OTHER_AUDIENCE),
        scopes=frozenset(SCOPES),
        permissions=frozenset(
            {
                Permission.TOKENS_ISSUE,
                Permission.TOKENS_EXCHANGE,
                Permission.TOKENS_REVOKE,
                Permission.SESSIONS_READ,
                *more,
            }
        ),
        access_lifetime=_ACCESS,
        rolling_lifetime=timedelta(seconds=ROLLING_SECONDS),
        lifetimes={platform: _LIVES},
        **policy,  # type: ignore[arg-type]
    )


APPS = ("app-1", "app-2", "app-3", "app-opaque", "app-rolling")
"""Clients that open sessions with their keys."""

POLICIES = {
    "app-1": _app(Platform.API),
    "app-2": _app(Platform.API),
    "app-3": _app(Platform.API),
    "app-opaque": _app(Platform.API, access_format=AccessFormat.OPAQUE),
    "app-rolling": _app(Platform.API, scheme=TokenScheme.ROLLING),
    "app-off-and-on": _app(Platform.API),
    "web": _app(
        Platform.WEB,
        Permission.PAIRING,
        credentials=frozenset({CredentialKind.PASSWORD}),
        may_pair_for=frozenset({"mobile"}),
    ),
    "mobile": _app(
        Platform.MOBILE,
        Permission.PAIRING,
        credentials=frozenset({CredentialKind.PASSWORD}),
        may_pair_for=frozenset({"web"}),
    ),
    "shop": ClientPolicy(permissions=frozenset({Permission.CODES}), access_lifetime=_ACCESS),
    "gateway": ClientPolicy(
        protects_audiences=frozenset({AUDIENCE, OTHER_AUDIENCE}),
        permissions=frozenset(
            {Permission.TOKENS_VALIDATE, Permission.TRUST_WATCH, Permission.TOKENS_REVOKE}
        ),
        access_lifetime=_ACCESS,
    ),
    "admin": ClientPolicy(
        platforms=frozenset({Platform.API}),
        permissions=frozenset(Permission),
        access_lifetime=_ACCESS,
    ),
}


@dataclass(frozen=True, slots=True)
class SoakWorld:
    """`fillers` are authentic tokens of sessions that nobody has."""

    world: World
    fillers: list[str] = field(repr=False)

    def server(self, metrics: str) -> ServerProcess:
        """A server that serves metrics there, with no rate limits in the way."""
        return ServerProcess(
            {
                **self.world.environment(
                    rate_scale="1000",
                    max_connection_age=str(CONNECTION_SECONDS),
                    login_attempts_per_address="1000000",
                    login_window="60",
                    max_password_calls="2000",
                    argon2_queue="2000",
                    postgres_timeout="10",  # a busy machine is no failure of the service
                    codes_per_caller="1000000",
                    key_rotation_period="1d",
                    metrics_listen=metrics,
                ),
                "GRPC_EXPERIMENTS": "-event_engine_listener",  # as in `token-service serve`
            },
            module="tests.soak.server",
        )

    def api(self, address: str, client_id: str) -> Api:
        """A caller with the credentials of one of the clients."""
        return self.world.api(address, client_id)


async def prepare(dsn: str, redis_url: str, fillers: int) -> SoakWorld:
    """Put the clients into a migrated database."""
    await _keep_revocations_briefly(dsn)
    world = World(dsn, redis_url, SecretKeys.generate_text(), {}, "", "")
    parts = await Parts.open(world.settings())
    try:
        await add_clients(world, parts, POLICIES, (ROLE, SCOPES), actor="soak")
        tokens = [parts.tokens.sign_jwt(_filler(parts, n), "") for n in range(fillers)]
    finally:
        await parts.close()
    return SoakWorld(world, tokens)


async def rows(dsn: str) -> dict[str, int]:
    """How many rows the tables have."""
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        return {
            table: await conn.fetchval(f"SELECT count(*) FROM {table}", timeout=60)  # noqa: S608
            for table in (
                "sessions",
                "trust_log",
                "attempts",
                "pairings",
                "pairing_codes",
                "codes",
                "code_redemptions",
                "users",
                "keys",
                "audit_log",
            )
        }
    finally:
        await conn.close(timeout=10)


async def _keep_revocations_briefly(dsn: str) -> None:
    """The log takes no access token to live longer than those of the clients here do: the time
    only ever grows, and begins with five minutes."""
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        longest = timedelta(seconds=KEEP_SECONDS - 60)
        await conn.execute("UPDATE trust_head SET longest_access = $1", longest)
    finally:
        await conn.close(timeout=10)


def _filler(parts: Parts, number: int) -> Facts:
    now = int(parts.clock.unix())
    session = f"10000000-0000-4000-8000-{number:012x}"
    return Facts(
        kind=TokenKind.ACCESS,
        subject="app-1",
        client_id="app-1",
        session_id=session,
        device_id="",
        audience=AUDIENCE,
        scopes=frozenset(SCOPES),
        roles=(),
        issued_at=now,
        expires_at=now + 3_600,
        auth_time=now,
        acr="aal1",
        amr=("app",),
        token_id=session,
        key_id="",
        rev=0,
    )
