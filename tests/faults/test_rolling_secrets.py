"""Configured secrets are replaced while all is used on two nodes, one of them with workers."""

import itertools
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.faults.supervised import Supervised
from tests.support.callers import Callers, Person
from tests.support.devices import Pair, start_map
from tests.support.outcomes import outcome
from tests.support.servers import ServerProcess
from tests.support.waiting import until
from tests.support.world import World
from token_service.adapters.crypto.configured_secrets import SecretKeys
from tokenservice.v1 import key_service_pb2 as keys
from tokenservice.v1 import types_pb2 as types

PURPOSES = (
    (types.KEY_PURPOSE_SIGNING, "EdDSA"),
    (types.KEY_PURPOSE_MINT, ""),
    (types.KEY_PURPOSE_PEPPER, ""),
    (types.KEY_PURPOSE_OPAQUE, ""),
)
LONGEST_COUNT = 20
QUICK = {"staleness_limit": "2s", "heartbeat": "800ms", "key_publish_lead": "4s"}


class Node:
    """One of the two, with secrets that are its own."""

    def __init__(self, world: World, place: Path, workers: int) -> None:
        place.touch(mode=0o600)
        self._file = place
        self._write(world.secret_keys)
        environment = world.environment(workers=str(workers), secret_keys_file=str(place), **QUICK)
        del environment["TOKEN_SERVICE_SECRET_KEYS"]
        self.server = ServerProcess(environment)
        self.callers = Callers(world, self.server.address)
        self._log = Supervised(self.server, "")
        self._renewals = 0

    async def reload(self, *secrets: str) -> None:
        """Change the file, and wait until nobody serves with the former secrets."""
        self._write(",".join(secrets))
        self._renewals += 1
        self.server.process.send_signal(signal.SIGHUP)
        await self.event("renewed", self._renewals)

    async def event(self, name: str, number: int = 1) -> dict[str, Any]:
        """The log line of that name, once it is there."""
        return await self._log.event(name, number)

    def _write(self, text: str) -> None:
        self._file.write_text(text + "\n")


class Nodes:
    """The two, and what people do on both."""

    def __init__(self, one: Node, two: Node) -> None:
        self.both = (one, two)
        self._between = ((one, two), (two, one))

    async def pairings(self) -> list[tuple[Pair, Node, Person]]:
        """One started on each node, and the other."""
        return [
            (await start_map(here.callers), there, await here.callers.new_person())
            for here, there in self._between
        ]

    async def finish(self, begun: list[tuple[Pair, Node, Person]]) -> None:
        """The phone scans and approves at the other node."""
        for pair, there, person in begun:
            pair.phone = there.callers.client("mobile")
            phone = (await there.callers.log_in(person, "mobile")).session_token
            await pair.scanned(session_token=phone)
            await pair.approve(phone)
            collected = await pair.collect()
            token = collected.tokens.access_tokens[0].token
            assert await there.callers.gateway.verdict(token) == "ACTIVE"

    async def exchange_there(self) -> None:
        """What one node issued, the other exchanges and validates."""
        for here, there in self._between:
            person = await here.callers.new_person()
            issued = await here.callers.log_in(person)
            exchanged = await there.callers.web.exchange(issued.session_token)
            for tokens in (issued, exchanged.tokens):
                for node in self.both:
                    token = tokens.access_tokens[0].token
                    assert await node.callers.gateway.verdict(token) == "ACTIVE"

    async def failures_until_locked(self) -> int:
        """Wrong passwords until the account is locked, at one node and the other in turn."""
        person = await self.both[0].callers.new_person()
        for count, node in zip(range(1, LONGEST_COUNT), itertools.cycle(self.both), strict=False):
            said = await outcome(node.callers.web.login(person.username, "wrong"))
            if said != "CREDENTIALS_INVALID":
                assert said == "ACCOUNT_LOCKED"
                return count
        raise AssertionError("nothing locks the account")

    async def rotate(self, node: Node) -> None:
        """Every kind of key, by this node."""
        admin = node.callers.admin
        for purpose, algorithm in PURPOSES:
            request = keys.RotateKeyRequest(purpose=purpose, algorithm=algorithm)
            await admin.keys.RotateKey(request, metadata=admin.metadata)


@pytest_asyncio.fixture
async def nodes(world: World, tmp_path: Path) -> AsyncIterator[Nodes]:
    started: list[Node] = []
    try:
        for number, workers in enumerate((1, 2)):
            started.append(Node(world, tmp_path / f"secrets-{number}", workers))
        async with AsyncExitStack() as stack:
            for node in started:
                await stack.enter_async_context(node.callers)
            yield Nodes(*started)
    finally:
        for node in started:
            node.server.kill()
            sys.stdout.writelines(node.server.output[-60:])


async def test_a_new_secret_is_added_and_moved_to_the_front(world: World, nodes: Nodes) -> None:
    old, new = world.secret_keys, SecretKeys.generate_text()
    usual = await nodes.failures_until_locked()
    for order in ((old, new), (new, old)):
        for node in nodes.both:
            begun = await nodes.pairings()
            await node.reload(*order)
            await nodes.finish(begun)
            await nodes.finish(await nodes.pairings())
            await nodes.exchange_there()
            assert await nodes.failures_until_locked() == usual
    await nodes.rotate(nodes.both[0])
    await nodes.exchange_there()
    await nodes.finish(await nodes.pairings())
    assert await nodes.failures_until_locked() == usual


async def test_a_node_that_lacks_a_secret_says_so_and_goes_on_with_what_it_has(
    world: World, nodes: Nodes
) -> None:
    lacking, ahead = nodes.both
    new = SecretKeys.generate_text()
    person = await lacking.callers.new_person()
    before = await lacking.callers.log_in(person)
    await ahead.reload(new, world.secret_keys)
    await nodes.rotate(ahead)
    said = await lacking.event("secret_keys_missing")
    assert said["secrets"] == [new.partition(":")[0]]
    known = before.access_tokens[0].token
    assert await lacking.callers.gateway.verdict(known) == "ACTIVE"

    async def new_keys_are_used() -> bool:
        return await outcome(lacking.callers.log_in(person)) == "TRUST_STALE"

    # Whatever needs the new keys is told by the other node, and nothing definite here.
    await until(new_keys_are_used)
    after = await ahead.callers.log_in(person)
    assert await outcome(lacking.callers.web.exchange(after.session_token)) == "TRUST_STALE"
    token = after.access_tokens[0].token
    assert await outcome(lacking.callers.gateway.verdict(token)) == "TRUST_STALE"
    assert await lacking.callers.gateway.verdict(known) == "ACTIVE"
    await lacking.reload(world.secret_keys, new)
    assert (await lacking.callers.web.exchange(after.session_token)).tokens.session_token
    for token in (known, after.access_tokens[0].token):
        for node in nodes.both:
            assert await node.callers.gateway.verdict(token) == "ACTIVE"
