"""A token of the testing kit looks like one of the server, claim by claim."""

import base64
import json
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from tests.support.fixtures import StartApplication
from tests.support.world import ISSUER, World
from tokenservice.core import Facts, parse_jwt
from tokenservice.testing import Issuer
from tokenservice.testing.tokens import claims
from tokenservice.v1 import types_pb2 as types


def parts(token: str) -> list[dict[str, Any]]:
    """Header and claims, in their order."""
    return [
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        for part in token.split(".")[:2]
    ]


def shape(token: str) -> list[list[tuple[str, str]]]:
    """Names and types, in their order."""
    return [[(name, type(value).__name__) for name, value in part.items()] for part in parts(token)]


def lengths(token: str) -> dict[str, int]:
    """Of what is random, whatever its value."""
    header, body = parts(token)
    return {name: len(part[name]) for part, name in ((header, "kid"), (body, "jti"), (body, "sid"))}


@pytest.fixture
async def served(world: World, start_application: StartApplication) -> dict[str, str]:
    """Tokens of every kind, by what they are."""
    server = await start_application()
    device = types.Device(device_id="browser-1", name="a browser")
    request: dict[str, Any] = {"audiences": ["orders"], "device": device}
    async with (
        world.api(server.address, "demo-web") as web,
        world.api(server.address, "demo-rolling") as rolling,
    ):
        plain = await web.login(world.username, world.password, audiences=["orders"])
        device_bound = await web.login(world.username, world.password, **request)
        certified = await web.login(
            world.username, world.password, confirmation=b"c" * 32, **request
        )
        rolled = await rolling.login(world.username, world.password, **request)
    tokens = {"plain": plain, "device": device_bound, "certified": certified, "rolling": rolled}
    return {name: made.access_tokens[0].token for name, made in tokens.items()}


async def test_the_kit_says_what_the_server_says(served: dict[str, str]) -> None:
    for name, token in served.items():
        parsed = parse_jwt(token, ISSUER)
        again = claims(parsed.facts, ISSUER, parsed.exchange or b"")
        assert json.dumps(again) == json.dumps(parts(token)[1]), name


async def test_a_token_of_the_kit_has_the_servers_shape(served: dict[str, str]) -> None:
    for name, token in served.items():
        facts = parse_jwt(token, ISSUER).facts
        made = Issuer(issuer=ISSUER).token(
            subject=facts.subject,
            audience=facts.audience,
            scopes=facts.scopes,
            roles=facts.roles,
            device_id=facts.device_id,
            confirmation=facts.confirmation,
            acr=facts.acr,
            amr=facts.amr,
            rolling=name == "rolling",
        )
        assert shape(made) == shape(token), name
        assert lengths(made) == lengths(token), name
        assert parts(made)[0] | {"kid": ""} == parts(token)[0] | {"kid": ""}


async def test_what_the_kit_takes_for_granted(served: dict[str, str]) -> None:
    """A test that leaves something out gets what a plain login on the demo server gets."""
    real = parse_jwt(served["plain"], ISSUER).facts
    made = parse_jwt(Issuer(issuer=ISSUER).token(), ISSUER).facts
    same = ("kind", "acr", "amr", "device_id", "confirmation")
    assert [getattr(made, name) for name in same] == [getattr(real, name) for name in same]
    assert made.expires_at - made.issued_at == real.expires_at - real.issued_at == 300
    assert timedelta(seconds=made.issued_at - made.auth_time) == timedelta(0)
    assert [type(getattr(made, one.name)) for one in fields(Facts)] == [
        type(getattr(real, one.name)) for one in fields(Facts)
    ]
