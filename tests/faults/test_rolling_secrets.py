"""Configured secrets are replaced while all is used on two nodes, one of them with workers."""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.faults.supervised import Supervised
from tests.support.both_ways import BothWays
from tests.support.callers import Callers
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


async def rotate(node: Node) -> None:
    """Every kind of key, by this node."""
    admin = node.callers.admin
    for purpose, algorithm in PURPOSES:
        request = keys.RotateKeyRequest(purpose=purpose, algorithm=algorithm)
        await admin.keys.RotateKey(request, metadata=admin.metadata)


@pytest_asyncio.fixture
async def nodes(world: World, tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    started: list[Node] = []
    try:
        for number, workers in enumerate((1, 2)):
            started.append(Node(world, tmp_path / f"secrets-{number}", workers))
        async with AsyncExitStack() as stack:
            for node in started:
                await stack.enter_async_context(node.callers)
            one, two = started
            yield one, two
    finally:
        for node in started:
            node.server.kill()
            sys.stdout.writelines(node.server.output[-60:])


async def test_a_new_secret_is_added_and_moved_to_the_front(
    world: World, nodes: tuple[Node, Node]
) -> None:
    old, new = world.secret_keys, SecretKeys.generate_text()
    between = BothWays(*(node.callers for node in nodes))
    usual = await between.failures_until_locked()
    for order in ((old, new), (new, old)):
        for node in nodes:
            begun = await between.pairings()
            await node.reload(*order)
            await between.finish(begun)
            await between.everything()
            assert await between.failures_until_locked() == usual
    await rotate(nodes[0])
    await between.everything()
    assert await between.failures_until_locked() == usual


async def test_a_node_that_lacks_a_secret_says_so_and_goes_on_with_what_it_has(
    world: World, nodes: tuple[Node, Node]
) -> None:
    lacking, ahead = nodes
    new = SecretKeys.generate_text()
    person = await lacking.callers.new_person()
    before = await lacking.callers.log_in(person)
    await ahead.reload(new, world.secret_keys)
    await rotate(ahead)
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
    logout = lacking.callers.web.revoke(token=after.session_token)
    assert await outcome(logout) == "TRUST_STALE"
    assert await lacking.callers.gateway.verdict(known) == "ACTIVE"
    await lacking.reload(world.secret_keys, new)
    assert (await lacking.callers.web.exchange(after.session_token)).tokens.session_token
    for token in (known, after.access_tokens[0].token):
        for node in nodes:
            assert await node.callers.gateway.verdict(token) == "ACTIVE"
