"""Ids that are chosen for new clients: by whom, which, and once."""

import ast
import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import token_service
from tests.support.node import ADMIN, APP, NOBODY, OTHER_ADMIN, Node, started
from token_service.domain.audit import Actor
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.ids import RESERVED
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, Permission
from token_service.usecases.clients.administration import Review, ReviewClient
from token_service.usecases.clients.registration import RegisterClient, Registered, Registration

ID = "b47ac10b-58cc-4372-a567-0e02b2c3d479"
NAMED = Registration("Orders Gateway", "ops@example.test", APP, client_id="orders-gateway")


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as running:
        yield running


def registering(node: Node) -> RegisterClient:
    return node.usecases.clients.register


@pytest.fixture
def register(node: Node) -> RegisterClient:
    return registering(node)


def reviewing(node: Node) -> ReviewClient:
    return node.usecases.clients.review


async def reason_of(work: Awaitable[Registered]) -> Reason | None:
    try:
        await work
    except TokenServiceError as error:
        return error.reason
    return None


async def test_an_administrator_chooses_the_id(node: Node, register: RegisterClient) -> None:
    registered = await register(ADMIN, NAMED)
    assert registered.client.client_id == "orders-gateway"
    stored = await node.client("orders-gateway")
    assert (stored.state, stored.registered_by) == (ClientState.PENDING, ADMIN.client_id)
    assert (await register(ADMIN, replace(NAMED, client_id=""))).client.client_id.startswith(
        "orders-gateway-"
    )


async def test_nobody_else_does_and_learns_which_ids_exist(
    node: Node, register: RegisterClient
) -> None:
    await register(ADMIN, NAMED)
    others = frozenset(Permission) - {Permission.ADMIN_CLIENTS}
    for caller in (NOBODY, Caller("shop", ClientPolicy(permissions=others))):
        for client_id in ("orders-gateway", "free", "bootstrap"):
            wish = replace(NAMED, client_id=client_id)
            assert await reason_of(register(caller, wish)) is Reason.PERMISSION_MISSING
    assert await node.parts.clients.get("free") is None


@pytest.mark.parametrize("taken_by", [ClientState.PENDING, ClientState.ACTIVE])
async def test_a_taken_id_is_refused_and_its_client_left_alone(
    node: Node, register: RegisterClient, taken_by: ClientState
) -> None:
    if taken_by is ClientState.PENDING:
        await register(OTHER_ADMIN, NAMED)
    else:
        await node.app("orders-gateway")
    before = await node.client("orders-gateway")
    assert await reason_of(register(ADMIN, NAMED)) is Reason.CLIENT_EXISTS
    assert await node.client("orders-gateway") == before
    assert before.state is taken_by


async def test_of_many_at_once_on_two_nodes_exactly_one_gets_the_id(node: Node) -> None:
    doors = [registering(node), registering(await node.sibling())]
    outcomes = await asyncio.gather(
        *(reason_of(doors[number % 2](ADMIN, NAMED)) for number in range(16))
    )
    assert sorted(map(str, outcomes)) == ["CLIENT_EXISTS"] * 15 + ["None"]
    assert await node.audited("client.register") == 1


async def test_a_rejected_client_gives_its_id_up_once(node: Node, register: RegisterClient) -> None:
    lost = await register(ADMIN, NAMED)
    await reviewing(node)(OTHER_ADMIN, Review("orders-gateway", approve=False, note="lost reply"))
    outcomes = await asyncio.gather(*(reason_of(register(ADMIN, NAMED)) for _ in range(8)))
    assert sorted(map(str, outcomes)) == ["CLIENT_EXISTS"] * 7 + ["None"]
    stored = await node.client("orders-gateway")
    assert (stored.state, stored.review_note) == (ClientState.PENDING, "")
    assert stored.registration_hash != lost.client.registration_hash
    approved = await reviewing(node)(OTHER_ADMIN, Review("orders-gateway", approve=True))
    assert approved.client.state is ClientState.APPROVED


@pytest.mark.parametrize(
    "client_id",
    ["", "Orders", "-orders", "o" * 65, "or ders", ID, ID.replace("-", ""), *sorted(RESERVED)],
)
async def test_what_means_something_else_is_no_id(
    node: Node, register: RegisterClient, client_id: str
) -> None:
    if client_id:
        wish = replace(NAMED, client_id=client_id)
        assert await reason_of(register(ADMIN, wish)) is Reason.FIELD_INVALID
    with pytest.raises(TokenServiceError) as refused:
        await node.bootstrap(client_id)
    assert refused.value.field == "client_id"


def test_whoever_acts_without_being_a_client_is_reserved() -> None:
    code = Path(token_service.__file__).parent
    acting = [one for file in sorted(code.rglob("*.py")) for one in _actors(file)]
    assert len(acting) >= 6
    assert not [one for one in acting if isinstance(one, ast.Constant)]  # they are named in Actor
    assert set(Actor) <= RESERVED


def _actors(file: Path) -> Iterator[ast.expr]:
    """What is given, or defaults, as the actor of audit rows."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.keyword) and node.arg == "actor":
            yield from node.value.values if isinstance(node.value, ast.BoolOp) else [node.value]
