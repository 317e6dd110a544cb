"""Sessions by the thousand or the million, and tokens for them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg

from tests.support.world import World
from token_service.app import Application
from token_service.app.parts import Parts
from token_service.domain.kinds import TokenKind
from tokenservice.core import Facts
from tokenservice.v1 import token_service_pb2 as pb

# The columns of a session as a login by demo-web makes it.
_FILL = """
INSERT INTO sessions (session_id, lookup_id, kind, platform, acr, amr, idle_seconds, rev, user_id,
    created_at, auth_time, rotated_at, last_active_at, idle_expires_at, absolute_expires_at,
    client_id, mint_kid, audiences, scopes, roles, device_id, device_name, user_agent, ip_address)
SELECT ('10000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
       ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
       1, 1, 1, 1, 1800, 0, u.user_id, t, t, t, t, t + interval '30 days',
       t + CASE WHEN n * 37 % 100 < $4 THEN interval '-1 day' ELSE interval '60 days' END,
       'demo-web', $3, '{orders}', '{billing.read,orders.read,orders.write}', u.roles,
       'device-' || n, 'Firefox on Linux', 'Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101',
       '192.0.2.' || n % 250
FROM generate_series($1::bigint, $2::bigint) AS n,
     (SELECT clock_timestamp() AS t) AS now, (SELECT * FROM users LIMIT 1) AS u
"""


def lookup_id(number: int) -> UUID:
    """The lookup id of the session with this number."""
    return UUID(f"00000000-0000-4000-8000-{number:012x}")


async def fill(dsn: str, count: int, mint_kid: str, *, over_percent: int = 0) -> None:
    """Put sessions 1 to `count` into the table, so many of them past their absolute expiry."""
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        step = 100_000
        for first in range(1, count + 1, step):
            last = min(count, first + step - 1)
            await conn.execute(_FILL, first, last, mint_kid, over_percent, timeout=600)
        await conn.execute("VACUUM ANALYZE sessions", timeout=600)
    finally:
        await conn.close(timeout=10)


def session_tokens(parts: Parts, numbers: range) -> Iterator[str]:
    """The first tokens of these sessions."""
    kid = parts.mint.active_kid()
    for number in numbers:
        yield parts.mint.token(TokenKind.WEB_SESSION, lookup_id(number), 1, kid)


def fresh_jwts(parts: Parts, like: Facts, count: int) -> Iterator[str]:
    """Access tokens that nobody has seen before."""
    for _ in range(count):
        yield parts.tokens.sign_jwt(replace(like, token_id=str(uuid4())), "")


async def access_tokens(world: World, parts: Parts) -> dict[str, str]:
    """A JWT and an opaque access token that stay good for an hour."""
    await _stretch(world.dsn)
    server = await Application.create(world.settings())
    address = await server.start()
    tokens = {}
    try:
        for kind, client in (("jwt", "demo-web"), ("opaque", "demo-opaque")):
            async with world.api(address, client) as api:
                issued = await api.login(world.username, world.password, audiences=["orders"])
                tokens[kind] = issued.access_tokens[0].token
    finally:
        await server.stop()
    return tokens


async def reply_sizes(world: World, address: str, requests: dict[str, Path]) -> dict[str, int]:
    """The sizes of replies, in bytes, by echo method."""
    first = bytes.fromhex(requests["warm"].read_text().splitlines()[0])
    lines = requests["exchange"].read_text().splitlines()
    async with world.api(address, "demo-gateway") as gateway, world.api(address, "demo-web") as web:
        validated = await gateway.tokens.Validate(
            pb.ValidateRequest.FromString(first), metadata=gateway.metadata
        )
        exchanged = await web.tokens.Exchange(
            pb.ExchangeRequest.FromString(bytes.fromhex(lines[-1])), metadata=web.metadata
        )
    successor = pb.ExchangeRequest(token=exchanged.tokens.session_token).SerializeToString()
    requests["exchange"].write_text("\n".join([*lines[:-1], successor.hex()]))
    return {"validate": validated.ByteSize(), "exchange": exchanged.ByteSize()}


async def _stretch(dsn: str) -> None:
    """Access tokens live for an hour here, longer than the benchmark takes."""
    conn = await asyncpg.connect(dsn, timeout=10)
    try:
        await conn.execute(
            "UPDATE clients SET policy = jsonb_set(policy, '{access_lifetime}', '3600')"
        )
        await conn.execute("UPDATE trust_head SET longest_access = '1 hour'")
    finally:
        await conn.close(timeout=10)
