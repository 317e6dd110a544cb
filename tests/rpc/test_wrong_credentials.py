"""Wrong credentials: limited by the address they come from, and never at the cost of right ones."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from grpc import StatusCode

from tests.rpc.echo import (
    ALICE,
    ECHO,
    HOT,
    POLICIES,
    Clients,
    World,
    connected,
    failure,
    raw,
    serving,
    text,
    unary_unary,
)
from tests.rpc.echo import basic as named
from tests.support.api import basic
from tests.support.elsewhere import seen_from
from tests.support.node import Node, started
from tests.support.waiting import patience
from token_service.adapters.postgres.pool import Database
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.client import Client
from token_service.domain.errors import TokenServiceError
from token_service.rpc.capacity import FailureLimiter
from token_service.rpc.policy_table import Rate

UNARY = pytest.mark.parametrize("method", [ECHO, HOT])
FEW = Rate(2, 5)


def wrong(number: int, scheme: str = "Basic") -> tuple[tuple[str, str], ...]:
    value = named("alice", f"wrong {number}").partition(" ")[2]
    return (("authorization", f"{scheme} {value}"),)


async def reason(call: Any, metadata: Any) -> str:
    return (await failure(call(raw("x"), metadata=metadata))).reason


@UNARY
async def test_wrong_credentials_are_limited_before_they_are_compared(method: str) -> None:
    async with serving(wrong_credentials=FEW) as world, connected(world) as channel:
        call = unary_unary(channel, method)
        await call(raw("x"), metadata=ALICE)
        for number in range(FEW.burst):
            assert await reason(call, wrong(number)) == "CALLER_UNAUTHENTICATED"
        asked = len(world.clients.asked)
        for number in range(20):
            refused = await failure(call(raw("x"), metadata=wrong(100 + number)))
            assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
            assert refused.retry_after == 0.5
        assert len(world.clients.asked) == asked
        # Who was recognised before is, and who calls without credentials is told so.
        assert text(await call(raw("x"), metadata=ALICE)) == "x"
        assert await reason(call, ()) == "CALLER_UNAUTHENTICATED"
        world.now += 0.5
        assert await reason(call, wrong(200)) == "CALLER_UNAUTHENTICATED"
        assert await reason(call, wrong(201)) == "RATE_LIMITED"


async def test_wrong_access_tokens_count_as_well() -> None:
    async with serving(wrong_credentials=FEW) as world, connected(world) as channel:
        call = unary_unary(channel, ECHO)
        for number in range(FEW.burst):
            assert await reason(call, wrong(number, "Bearer")) == "CALLER_UNAUTHENTICATED"
        assert await reason(call, wrong(9, "Bearer")) == "RATE_LIMITED"
        world.clients.by_authorization["Bearer right"] = world.clients.by_authorization[
            named("alice")
        ]
        right = (("authorization", "Bearer right"),)
        assert text(await call(raw("x"), metadata=right)) == "x"


async def test_another_address_does_not_pay_for_it() -> None:
    async with (
        serving(wrong_credentials=FEW) as world,
        seen_from("127.0.0.2", world.address) as elsewhere,
        grpc.aio.insecure_channel(elsewhere) as flood,
        connected(world) as channel,
    ):
        for number in range(FEW.burst):
            await reason(unary_unary(flood, ECHO), wrong(number))
        assert await reason(unary_unary(flood, ECHO), wrong(9)) == "RATE_LIMITED"
        assert text(await unary_unary(channel, ECHO)(raw("x"), metadata=ALICE)) == "x"


async def test_a_flood_at_once_is_not_let_in_between_two_failures() -> None:
    """What fails takes its time; whoever comes meanwhile counts as failing too."""
    clients = Clients()
    async with serving(World(clients), wrong_credentials=FEW) as world, connected(world) as channel:
        call = unary_unary(channel, ECHO)
        for number in range(FEW.burst - 2):
            await reason(call, wrong(number))
        asked = len(clients.asked)
        reasons = await asyncio.gather(*(reason(call, wrong(50 + n)) for n in range(50)))
        assert reasons.count("CALLER_UNAUTHENTICATED") == 2
        assert len(clients.asked) == asked + 2


@UNARY
async def test_who_does_not_wait_for_the_refusal_is_limited_as_well(method: str) -> None:
    clients = SlowClients()
    async with serving(World(clients), wrong_credentials=FEW) as world, connected(world) as channel:
        call = unary_unary(channel, method)
        async with patience():
            for number in range(FEW.burst):
                given_up = call(raw("x"), metadata=wrong(number))
                while len(clients.asked) <= number:
                    await asyncio.sleep(0.001)
                given_up.cancel()
            while clients.asking:
                await asyncio.sleep(0.001)
            assert await reason(call, wrong(100)) == "RATE_LIMITED"
        assert len(clients.asked) == FEW.burst


class SlowClients(Clients):
    """Answers nobody."""

    asking = 0

    async def __call__(self, stranger: Caller, authorization: str, **_: str) -> Client:
        del stranger
        self.asked.append(authorization)
        self.asking += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.asking -= 1
        raise AssertionError


def test_what_succeeds_costs_nothing_and_memory_is_bounded() -> None:
    now = [1_000.0]
    limiter = FailureLimiter(FEW, lambda: now[0])

    def attempt(caller: str, *, fails: bool) -> bool:
        try:
            with limiter.attempt(caller):
                if fails:
                    limiter.failed(caller)
        except TokenServiceError:
            return False
        return True

    assert all(attempt("office", fails=False) for _ in range(10_000))
    assert [attempt("office", fails=True) for _ in range(7)] == [True] * 5 + [False] * 2
    assert not attempt("office", fails=False)
    now[0] += 0.5
    assert attempt("office", fails=False)
    for number in range(50_000):
        attempt(str(number), fails=True)
    assert len(limiter._failures._full_at) <= 10_000
    assert not limiter._under_way


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as running:
        yield running


class Statements:
    """How many statements a database was sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        call = Database._call

        async def counted(database: Database, *args: Any) -> Any:
            self.count += 1
            return await call(database, *args)

        monkeypatch.setattr(Database, "_call", counted)


def stored(node: Node) -> Any:
    """The tiny service for the clients in the database."""
    policies = {ECHO: replace(POLICIES[ECHO], any_of=frozenset()), **_others()}
    return serving(World(clients=node.usecases.clients.authenticate_caller), policies=policies)  # type: ignore[arg-type]


def _others() -> dict[str, Any]:
    return {name: row for name, row in POLICIES.items() if name != ECHO}


async def test_a_hundred_clients_at_one_address_get_in_while_another_is_flooding(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [await node.bootstrap(f"worker-{number}") for number in range(100)]
    right = [(("authorization", basic(one.client_id, one.client_secret)),) for one in made]
    secret = made[0].client_secret
    async with (
        stored(node) as world,
        seen_from("127.0.0.2", world.address) as elsewhere,
        grpc.aio.insecure_channel(elsewhere) as flood,
        connected(world) as channel,
    ):
        # Else the flood's connection is ended for what it is, and this is about the limit.
        await unary_unary(flood, ECHO)(raw("x"), metadata=right[0])
        ended = asyncio.Event()
        seen: list[str] = []

        async def attack() -> None:
            while not ended.is_set():
                guess = (("authorization", basic(f"worker-{len(seen) % 100}", secret)),)
                if len(seen) % 100 == 0:
                    guess = (("authorization", basic("nobody-has-this", secret)),)
                seen.append(await reason(unary_unary(flood, ECHO), guess))

        attackers = [asyncio.create_task(attack()) for _ in range(16)]
        async with patience():
            while "RATE_LIMITED" not in seen:
                await asyncio.sleep(0.01)
            call = unary_unary(channel, ECHO)
            await asyncio.gather(*(call(raw("x"), metadata=one) for one in right))
        ended.set()
        await asyncio.gather(*attackers)
        statements = Statements(monkeypatch)
        reasons = [await reason(unary_unary(flood, ECHO), wrong(n)) for n in range(200)]
        # The clock of the limit stands still here: nothing more is let through.
        assert set(reasons) == {"RATE_LIMITED"}
        assert statements.count == 0
        # Whoever proved itself may be asked about again, from wherever it comes.
        node.parts.client_cache.advance(10_000)
        assert text(await unary_unary(flood, ECHO)(raw("x"), metadata=right[5])) == "x"
