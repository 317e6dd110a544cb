"""Two calls of one client for one token at the same time, on two real server processes: tabs of one
browser that exchange it, and a person who proves a password with it. Nobody is a thief."""

import asyncio
import itertools

from tests.support.api import Api, exchange_id
from tests.support.callers import Callers, Person
from tests.support.outcomes import all_at_once, credential_of, outcome, reasons, replies
from tokenservice.v1 import token_service_pb2 as pb

Nodes = tuple[Callers, Callers]

ROUNDS = 40
TABS = 16


async def step_up(api: Api, person: Person, token: str, once: bytes) -> pb.ReauthenticateResponse:
    """Reauthenticate by password."""
    credential = pb.PasswordCredential(username=person.username, password=person.password)
    request = pb.ReauthenticateRequest(token=token, password=credential, exchange_id=once)
    return await api.tokens.Reauthenticate(request, metadata=api.metadata)


async def test_a_step_up_and_an_exchange_with_one_id(nodes: Nodes) -> None:
    """One of them has the successor, the other is superseded, and the session lives."""
    person = await nodes[0].new_person()
    won: set[str] = set()
    for number in range(ROUNDS):
        tokens = await nodes[0].log_in(person)
        token, once = tokens.session_token, exchange_id()
        first, second = nodes if number % 2 else nodes[::-1]
        stepping_up = asyncio.create_task(outcome(step_up(first.web, person, token, once)))
        if number % 4 == 3:  # the other order, too: an exchange after a finished step-up
            await asyncio.wait([stepping_up])
        exchanged = await outcome(second.web.exchange(token, once))
        stepped_up = await stepping_up
        if isinstance(exchanged, str):
            assert (exchanged, isinstance(stepped_up, str)) == ("TOKEN_SUPERSEDED", False)
        else:
            assert stepped_up == "TOKEN_SUPERSEDED"
        won.add("step-up" if isinstance(exchanged, str) else "exchange")
        (reply,) = (one for one in (exchanged, stepped_up) if not isinstance(one, str))
        following = await second.web.exchange(reply.tokens.session_token, exchange_id())
        access = following.tokens.access_tokens[0].token
        assert await first.gateway.verdict(access) == "ACTIVE"
    assert won == {"step-up", "exchange"}


async def test_tabs_that_ask_for_different_things_converge(nodes: Nodes) -> None:
    person = await nodes[0].new_person()
    wishes = [
        {"audiences": ["orders"]},
        {"audiences": ["billing"], "scopes": ["billing.read"]},
        {"audiences": ["orders"], "scopes": ["orders.read"]},
        {},
    ]
    for client in ("web", "opaque"):
        tokens = await nodes[0].client(client).login(person.username, person.password)
        token, once = credential_of(tokens), exchange_id()
        tabs = itertools.islice(
            zip(itertools.cycle(nodes), itertools.cycle(wishes), strict=False), TABS
        )
        outcomes = await all_at_once(
            node.client(client).exchange(token, once, **wish) for node, wish in tabs
        )
        assert reasons(outcomes) == set()
        got = replies(outcomes)
        assert len({credential_of(reply.tokens) for reply in got}) == 1
        assert [reply.replayed for reply in got].count(False) == 1
        for number, reply in enumerate(got):
            wish = wishes[number % len(wishes)]
            audiences = wish.get("audiences", ["billing", "orders"])
            assert sorted(one.audience for one in reply.tokens.access_tokens) == audiences
            for access in reply.tokens.access_tokens:
                assert list(access.scopes) == wish.get("scopes", list(access.scopes))
                assert await nodes[0].gateway.verdict(access.token, access.audience) == "ACTIVE"
