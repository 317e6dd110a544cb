"""Signing keys change and die under load, on two nodes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest
import pytest_asyncio

from tests.support.callers import Callers
from tests.support.fixtures import LocalServer, StartApplication
from tests.support.waiting import until
from tests.support.world import World
from tokenservice.v1 import key_service_pb2 as keys
from tokenservice.v1 import types_pb2 as types

STEP = timedelta(seconds=10)
STEPS = 15
"""Together past the publication lead, and within the life of an access token."""


class Node:
    """A server in this process and its callers."""

    def __init__(self, world: World, server: LocalServer) -> None:
        self.server = server
        self.callers = Callers(world, server.address)

    async def tick(self) -> None:
        """What a server does every few seconds."""
        await self.server.application.parts.key_maintenance.tick()


class Load:
    """Tokens made on each node and shown to both at once, over and over."""

    def __init__(self, nodes: tuple[Node, Node]) -> None:
        self._nodes = nodes
        self.stop = asyncio.Event()
        self.tokens: list[str] = []
        self.verdicts: dict[str, int] = {}
        self.by_key: set[str] = set()

    async def make(self, node: Node) -> None:
        """Make tokens on one node until stopped."""
        while not self.stop.is_set():
            tokens = await node.callers.own_session()
            token = tokens.access_tokens[0].token
            self.by_key.add(key_of(token))
            self.tokens.append(token)
            for judge in self._nodes:
                await self._count(judge, token)

    async def judge(self, node: Node) -> None:
        """Show the tokens of all times to one node until stopped."""
        place = 0
        while not self.stop.is_set():
            await self._count(node, self.tokens[place % len(self.tokens)])
            place += 7  # old and new ones by turns

    async def moved(self, beyond: int) -> bool:
        """Whether so many tokens were made."""
        return len(self.tokens) > beyond

    async def _count(self, node: Node, token: str) -> None:
        verdict = await node.callers.gateway.verdict(token)
        self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1


def key_of(token: str) -> str:
    """The header of a JWT names the key, so it differs exactly when the key does."""
    return token.partition(".")[0]


async def rotate(admin: Callers) -> None:
    """Ask for a new signing key."""
    request = keys.RotateKeyRequest(purpose=types.KEY_PURPOSE_SIGNING)
    await admin.admin.keys.RotateKey(request, metadata=admin.admin.metadata)


@pytest_asyncio.fixture(loop_scope="session")
async def pair(
    world: World, start_application: StartApplication
) -> AsyncIterator[tuple[Node, Node]]:
    """Two servers in this process."""
    one, two = [Node(world, await start_application()) for _ in range(2)]
    async with one.callers, two.callers:
        yield one, two


async def test_a_rotation_rejects_no_good_token(pair: tuple[Node, Node]) -> None:
    """One node does all that is due and is ahead of the other in time; the other only listens."""
    one, two = pair
    load = Load(pair)
    load.tokens.append((await one.callers.own_session()).access_tokens[0].token)
    running = [
        asyncio.create_task(work)
        for node in pair
        for work in (load.make(node), load.judge(node), load.judge(node))
    ]
    await rotate(one.callers)
    for _ in range(STEPS):
        one.server.clock.advance(STEP)
        await one.tick()
        await until(partial(load.moved, len(load.tokens) + 4))
        two.server.clock.advance(STEP)
    await until(partial(signs_with_another_key, two, load.tokens[0]))
    await until(partial(load.moved, len(load.tokens) + 4))
    load.stop.set()
    await asyncio.gather(*running)
    assert set(load.verdicts) == {"ACTIVE"}
    assert load.verdicts["ACTIVE"] > len(load.tokens)
    assert len(load.by_key) == 2
    for node in pair:
        assert await node.callers.gateway.verdict(load.tokens[0]) == "ACTIVE"


async def signs_with_another_key(node: Node, token: str) -> bool:
    """Whether the node's new tokens have another key than this one."""
    made = (await node.callers.own_session()).access_tokens[0].token
    return key_of(made) != key_of(token)


async def signing_key(node: Node) -> str:
    """The id of the active signing key."""
    admin = node.callers.admin
    request = keys.ListKeysRequest(purpose=types.KEY_PURPOSE_SIGNING)
    listed = await admin.keys.ListKeys(request, metadata=admin.metadata)
    (active,) = (key.kid for key in listed.keys if key.state == types.KEY_STATE_ACTIVE)
    return active


@pytest.mark.parametrize("prepared", [False, True], ids=["unprepared", "while rotating"])
async def test_a_compromised_key_takes_its_tokens_along_and_nothing_else(
    pair: tuple[Node, Node], prepared: bool
) -> None:
    """Every token of the key is dead on both nodes, and nobody waits for the next one."""
    one, two = pair
    load = Load(pair)
    running = [asyncio.create_task(load.make(node)) for node in pair]
    await until(partial(load.moved, 20))
    if prepared:
        await rotate(two.callers)
    admin = one.callers.admin
    request = keys.CompromiseKeyRequest(kid=await signing_key(one))
    done = await admin.keys.CompromiseKey(request, metadata=admin.metadata)
    first_after = [await node.callers.own_session() for node in (one, one, one)]
    load.stop.set()
    await asyncio.gather(*running)

    lost = key_of(load.tokens[0])
    dead = [token for token in load.tokens if key_of(token) == lost]
    assert len(dead) >= 20
    for node in pair:
        for token in dead:
            verdict = await node.callers.gateway.verdict(token, min_revision=done.revision)
            assert verdict == "REVOKED"
    new = [await node.callers.own_session() for node in pair]
    for node in pair:
        for tokens in (*first_after, *new):
            access = tokens.access_tokens[0].token
            assert key_of(access) != lost
            verdict = await node.callers.gateway.verdict(access, min_revision=done.revision)
            assert verdict == "ACTIVE"


async def test_a_session_outlives_the_key_of_its_access_tokens(pair: tuple[Node, Node]) -> None:
    one, two = pair
    before = await one.callers.own_session()
    admin = two.callers.admin
    request = keys.CompromiseKeyRequest(kid=await signing_key(two))
    done = await admin.keys.CompromiseKey(request, metadata=admin.metadata)
    exchanged = await two.callers.client("api").exchange(before.session_token)
    access = exchanged.tokens.access_tokens[0].token
    for node in pair:
        verdict = await node.callers.gateway.verdict(access, min_revision=done.revision)
        assert verdict == "ACTIVE"
        old = before.access_tokens[0].token
        verdict = await node.callers.gateway.verdict(old, min_revision=done.revision)
        assert verdict == "REVOKED"
