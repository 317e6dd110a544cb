"""Tokens for the sessions that `bulk` makes."""

from collections.abc import Iterable, Iterator
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


def lookup_id(number: int) -> UUID:
    """The lookup id of the session with this number."""
    return UUID(f"00000000-0000-4000-8000-{number:012x}")


def session_tokens(parts: Parts, numbers: Iterable[int]) -> Iterator[str]:
    """The first tokens of these sessions."""
    kid = parts.mint.active().kid
    for number in numbers:
        yield parts.mint.held(kid).token(TokenKind.WEB_SESSION, lookup_id(number), 1)


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
