"""Exchanges that race a revocation on the other node: nothing usable survives it."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import pytest

from tests.faults.waiting import until_recognised
from tests.support.api import exchange_id
from tests.support.callers import Callers, Person
from tests.support.outcomes import credential_of, outcome
from tests.support.waiting import patience
from tokenservice.v1 import session_service_pb2 as sessions
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as users

Nodes = tuple[Callers, Callers]

ROUNDS = 10
CHAINS = 2
MOST_EXCHANGES = 2_000
LAST = 3
"""How many of a chain's token sets are looked at: the last ones raced."""


@dataclass(slots=True)
class Chain:
    """One session, exchanged over and over, on one node and the other by turns."""

    nodes: Nodes
    client: str
    obtained: list[types.TokenSet]
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: str = ""

    async def run(self, done: Callable[[types.TokenSet], bool] = lambda _: False) -> None:
        """Exchange until refused, or until `done` says so."""
        turns = itertools.cycle(self.nodes)
        for _ in range(MOST_EXCHANGES):
            api = next(turns).client(self.client)
            reply = await outcome(api.exchange(credential_of(self.obtained[-1]), exchange_id()))
            if isinstance(reply, str):
                self.refusal = reply
                return
            self.obtained.append(reply.tokens)
            self.moved.set()
            if done(reply.tokens):
                return
        raise AssertionError("nothing stopped the exchanges")


async def start(nodes: Nodes, person: Person, client: str) -> list[Chain]:
    """Sessions of the person, ready to be exchanged."""
    made = [await nodes[0].log_in(person, client) for _ in range(CHAINS)]
    return [Chain(nodes, client, [tokens]) for tokens in made]


async def until_moving(chains: Sequence[Chain]) -> None:
    """Until each was exchanged once."""
    async with patience():
        for chain in chains:
            await chain.moved.wait()


async def race(chains: Sequence[Chain], end: Callable[[], Awaitable[int]]) -> int:
    """Exchange all until refused, and end them when all are on their way; `end`'s revision."""
    running = [asyncio.create_task(chain.run()) for chain in chains]
    await until_moving(chains)
    revision = await end()
    await asyncio.gather(*running)
    return revision


async def require_dead(chain: Chain, revision: int) -> None:
    """No token of the chain is good for anything on any node."""
    for node, tokens in itertools.product(chain.nodes, chain.obtained[-LAST:]):
        access = tokens.access_tokens[0].token
        assert await node.gateway.verdict(access, min_revision=revision) == "REVOKED"
        again = node.client(chain.client).exchange(credential_of(tokens))
        assert await outcome(again) == "TOKEN_REVOKED"


async def revoke_session(node: Callers, chain: Chain) -> int:
    """The revision of it."""
    request = sessions.RevokeSessionRequest(session_id=chain.obtained[0].session_id)
    done = await node.admin.sessions.RevokeSession(request, metadata=node.admin.metadata)
    return done.revision


CLIENTS = ("web", "opaque", "rolling")


@pytest.mark.parametrize("client", CLIENTS)
async def test_revoke_session(nodes: Nodes, client: str) -> None:
    person = await nodes[0].new_person()
    for _ in range(ROUNDS // len(CLIENTS) + 1):
        for chain in await start(nodes, person, client):
            revision = await race([chain], partial(revoke_session, nodes[1], chain))
            assert chain.refusal == "TOKEN_REVOKED"
            await require_dead(chain, revision)


async def test_disable_user(nodes: Nodes) -> None:
    for _ in range(ROUNDS):
        person = await nodes[0].new_person()
        chains = await start(nodes, person, "web")
        revision = await race(chains, partial(nodes[1].disable_user, person.user_id))
        await nodes[0].enable_user(person.user_id)
        for chain in chains:
            assert chain.refusal == "TOKEN_REVOKED"
            await require_dead(chain, revision)


async def test_disable_client(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    for _ in range(ROUNDS):
        chains = await start(nodes, person, "mobile")
        revision = await race(chains, lambda: nodes[1].disable_client("demo-mobile"))
        for chain in chains:
            assert chain.refusal in {"TOKEN_REVOKED", "CALLER_UNAUTHENTICATED"}
            access = chain.obtained[-1].access_tokens[0].token
            for node in nodes:
                assert await node.gateway.verdict(access, min_revision=revision) == "REVOKED"
        await nodes[0].enable_client("demo-mobile")
        await until_recognised(nodes, "mobile")
        for chain in chains:
            await require_dead(chain, revision)


async def test_set_password(nodes: Nodes) -> None:
    person = await nodes[0].new_person()

    async def set_password() -> int:
        admin = nodes[1].admin
        request = users.SetPasswordRequest(user_id=person.user_id, new_password=person.password)
        return (await admin.users.SetPassword(request, metadata=admin.metadata)).revision

    for _ in range(ROUNDS):
        chains = await start(nodes, person, "web")
        revision = await race(chains, set_password)
        for chain in chains:
            assert chain.refusal == "TOKEN_REVOKED"
            await require_dead(chain, revision)
        renewed = await nodes[0].log_in(person)
        assert await nodes[1].gateway.verdict(renewed.access_tokens[0].token) == "ACTIVE"


async def test_set_password_with_a_session_spares_that_session_alone(nodes: Nodes) -> None:
    """The session token that is shown is not consumed: its session lives, the others die."""
    person = await nodes[0].new_person()
    for _ in range(ROUNDS // 2):
        own = await nodes[0].log_in(person)
        chains = await start(nodes, person, "web")

        async def set_password(token: str = own.session_token) -> int:
            web = nodes[1].web
            request = users.SetPasswordRequest(session_token=token, new_password=person.password)
            return (await web.users.SetPassword(request, metadata=web.metadata)).revision

        revision = await race(chains, set_password)
        for chain in chains:
            await require_dead(chain, revision)
        kept = await nodes[0].web.exchange(own.session_token)
        access = kept.tokens.access_tokens[0].token
        assert await nodes[1].gateway.verdict(access, min_revision=revision) == "ACTIVE"


def has_lost_scope(tokens: types.TokenSet) -> bool:
    """Whether the access token has what the role `sales` gave."""
    return any(scope.startswith("orders.") for scope in tokens.access_tokens[0].scopes)


@pytest.mark.parametrize("client", ["web", "opaque"])
async def test_narrowed_roles(nodes: Nodes, client: str) -> None:
    """The session goes on with less; what has the lost scope is good for nothing any more."""
    for _ in range(ROUNDS // 2):
        person = await nodes[0].new_person()
        chains = await start(nodes, person, client)
        running = [
            asyncio.create_task(chain.run(done=lambda tokens: not has_lost_scope(tokens)))
            for chain in chains
        ]
        await until_moving(chains)
        request = users.SetRolesRequest(user_id=person.user_id, roles=["accounting"])
        admin = nodes[1].admin
        narrowed = await admin.users.SetRoles(request, metadata=admin.metadata)
        await asyncio.gather(*running)
        for chain in chains:
            assert chain.refusal == ""
            await require_narrowed(chain, narrowed.revision)


async def require_narrowed(chain: Chain, revision: int) -> None:
    """Only the narrower tokens are good, and the session lives."""
    wide, narrow = chain.obtained[-LAST:-1], chain.obtained[-1]
    assert list(narrow.access_tokens[0].scopes) == ["billing.read"]
    assert all(map(has_lost_scope, wide))
    for node in chain.nodes:
        for tokens in wide:
            access = tokens.access_tokens[0].token
            assert await node.gateway.verdict(access, min_revision=revision) == "EXPIRED"
    api = chain.nodes[1].client(chain.client)
    following = await api.exchange(narrow.session_token, exchange_id())
    access = following.tokens.access_tokens[0].token
    for node in chain.nodes:
        assert await node.gateway.verdict(access, min_revision=revision) == "ACTIVE"
        scopes = ["orders.read"]
        assert await node.gateway.verdict(access, required_scopes=scopes) == "INSUFFICIENT_SCOPE"
