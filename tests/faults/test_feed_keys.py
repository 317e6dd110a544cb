"""Signing keys change and die while a local validator is at work."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import pytest_asyncio

from tests.support.callers import Callers
from tests.support.fixtures import LocalServer, StartApplication
from tests.support.validators import validating
from tests.support.waiting import PATIENCE, until
from tests.support.world import World
from tokenservice import Decision, Source, Validator
from tokenservice.core import Verdict, parse_jwt
from tokenservice.v1 import key_service_pb2 as keys
from tokenservice.v1 import types_pb2 as types

LIMIT = 1.0
LEAD = 2.0
PAUSE = 0.002


@dataclass(frozen=True, slots=True)
class Seen:
    """A token's key, when it was shown, and the answer."""

    kid: str
    asked_at: float
    decision: Decision


class Load:
    """Makes tokens, and shows those of all times to the validator, until stopped."""

    def __init__(self, callers: Callers, validator: Validator) -> None:
        self._callers = callers
        self._validator = validator
        self._tokens: list[tuple[str, str]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.seen: list[Seen] = []

    async def __aenter__(self) -> Self:
        await self._make_one()
        self._tasks = [asyncio.create_task(self._make()), asyncio.create_task(self._show())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            assert isinstance(outcome, asyncio.CancelledError), outcome

    @property
    def kids(self) -> set[str]:
        """The keys that tokens were made with so far."""
        return {kid for kid, _ in self._tokens}

    async def show_again(self) -> int:
        """Wait until everything was shown once more; the place in `seen` from which."""
        start = len(self.seen)
        end = start + 2 * len(self._tokens) + 10

        async def enough() -> bool:
            return len(self.seen) >= end

        await until(enough)
        return start

    async def _make_one(self) -> None:
        issued = await self._callers.own_session()
        token = issued.access_tokens[0].token
        kid = parse_jwt(token, self._validator.local.trust.issuer).kid
        self._tokens.append((kid, token))
        await self._ask(kid, token)

    async def _make(self) -> None:
        while True:
            await self._make_one()
            await asyncio.sleep(0.02)

    async def _show(self) -> None:
        place = 0
        while True:
            await self._ask(*self._tokens[place % len(self._tokens)])
            place += 7  # old and new ones by turns
            await asyncio.sleep(PAUSE)

    async def _ask(self, kid: str, token: str) -> None:
        asked_at = time.monotonic()
        decision = await self._validator.validate(token, audience="orders")
        self.seen.append(Seen(kid, asked_at, decision))


@pytest_asyncio.fixture(loop_scope="session")
async def server(start_application: StartApplication) -> LocalServer:
    return await start_application(staleness_limit=LIMIT, heartbeat=0.3, key_publish_lead=LEAD)


@pytest_asyncio.fixture(loop_scope="session")
async def load(world: World, server: LocalServer) -> AsyncIterator[Load]:
    async with (
        Callers(world, server.address) as callers,
        validating(
            world,
            server.address,
            staleness_limit=timedelta(seconds=LIMIT),
            remote_timeout=timedelta(seconds=PATIENCE),
        ) as validator,
        Load(callers, validator) as running,
    ):
        yield running


async def until_new_key(load: Load, server: LocalServer, old: str) -> str:
    """What a server does every few seconds, done until another key makes tokens."""

    async def changed() -> bool:
        await server.application.parts.key_maintenance.tick()
        await asyncio.sleep(0.1)
        return load.kids != {old}

    await until(changed)
    return (load.kids - {old}).pop()


async def test_a_rotation_refuses_no_good_token(load: Load, server: LocalServer) -> None:
    admin = load._callers.admin
    (old,) = load.kids
    request = keys.RotateKeyRequest(purpose=types.KEY_PURPOSE_SIGNING)
    await admin.keys.RotateKey(request, metadata=admin.metadata)
    newer = await until_new_key(load, server, old)
    start = await load.show_again()
    assert {one.decision.verdict for one in load.seen} == {Verdict.ACTIVE}
    by_key = {one.kid for one in load.seen[start:] if one.decision.source is Source.LOCAL}
    assert newer in by_key
    assert len(by_key) == 2


async def test_a_compromised_key_refuses_its_tokens_and_no_others(
    load: Load, server: LocalServer
) -> None:
    """Those that were seen before, and those that come for the first time."""
    admin = load._callers.admin
    (old,) = load.kids
    unseen = [(await load._callers.own_session()).access_tokens[0].token for _ in range(5)]
    request = keys.CompromiseKeyRequest(kid=old)
    await admin.keys.CompromiseKey(request, metadata=admin.metadata)
    dead_at = time.monotonic()
    newer = await until_new_key(load, server, old)
    await load.show_again()
    while time.monotonic() < dead_at + LIMIT:
        await load.show_again()
    await load.show_again()
    late = [one for one in load.seen if one.kid == old and one.asked_at > dead_at + LIMIT]
    assert {one.decision.verdict for one in late} == {Verdict.REVOKED}
    assert verdicts(load, old) == {Verdict.ACTIVE, Verdict.REVOKED}
    assert verdicts(load, newer) == {Verdict.ACTIVE}
    for token in unseen:
        decision = await load._validator.validate(token, audience="orders")
        assert decision.verdict is Verdict.REVOKED
        assert await load._callers.gateway.verdict(token) == "REVOKED"


def verdicts(load: Load, kid: str) -> set[Verdict]:
    return {one.decision.verdict for one in load.seen if one.kid == kid}
