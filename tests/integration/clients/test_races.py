"""Changes of one client at the same time: each is decided on what is there when it is written."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.support.node import ADMIN, APP, OTHER_ADMIN, Node, started
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import ClientState, Permission
from token_service.usecases.clients.administration import ClientAdministration
from token_service.usecases.clients.credentials import RotateRequest
from tokenservice.core import Verdict

CLERK = ClientPolicy(permissions=frozenset({Permission.ADMIN_CLIENTS}))
STRONG = replace(APP, permissions=APP.permissions | {Permission.ADMIN_KEYS})


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as running:
        yield running


@pytest.fixture
def administer(node: Node) -> ClientAdministration:
    return administration(node, node.parts.clients)


def administration(node: Node, store: ClientStore) -> ClientAdministration:
    return node.but(clients=store).usecases.clients.administration


class Meanwhile(ClientStore):
    """The real store, in which something happens before a change is written."""

    def __init__(self, node: Node, happens: Callable[[], Awaitable[object]]) -> None:
        super().__init__(node.database)
        self._happens = happens
        self.happened = 0

    async def _first(self) -> None:
        self.happened += 1
        if self.happened == 1:
            await self._happens()

    async def update_policy(self, *args: Any, **named: Any) -> Any:
        await self._first()
        return await super().update_policy(*args, **named)

    async def set_enabled(self, *args: Any, **named: Any) -> Any:
        await self._first()
        return await super().set_enabled(*args, **named)

    async def put_secret(self, *args: Any, **named: Any) -> Any:
        await self._first()
        return await super().put_secret(*args, **named)


def refusal(caught: pytest.ExceptionInfo[TokenServiceError]) -> Reason:
    return caught.value.reason


async def test_a_client_cannot_restore_what_was_just_taken_from_it(
    node: Node, administer: ClientAdministration
) -> None:
    clerk = ClientPolicy(permissions=frozenset({Permission.ADMIN_CLIENTS, Permission.ADMIN_KEYS}))
    caller = await node.app("clerk", clerk)
    less = ClientPolicy(permissions=frozenset({Permission.ADMIN_CLIENTS}))
    store = Meanwhile(node, lambda: administer.update_policy(ADMIN, "clerk", less, ""))
    racing = node.but(clients=store).usecases.clients.administration
    with pytest.raises(TokenServiceError) as refused:
        await racing.update_policy(caller, "clerk", clerk, "")
    assert refusal(refused) is Reason.SELF_REVIEW
    assert store.happened == 1
    assert (await node.client("clerk")).policy == less


async def test_changes_of_one_policy_at_once_are_each_decided_on_what_is_there(
    node: Node, administer: ClientAdministration
) -> None:
    caller = await node.app()
    wider = replace(APP, scopes=APP.scopes | {"orders.refund"})
    tokens = []

    async def widen() -> None:
        await administer.update_policy(OTHER_ADMIN, "shop", wider, "")
        tokens.append(await node.own_session(caller))

    store = Meanwhile(node, widen)
    racing = node.but(clients=store).usecases.clients.administration
    changed = await racing.update_policy(ADMIN, "shop", APP, "")
    assert store.happened == 2
    assert changed.client.policy == APP
    assert await node.verdict(tokens[0]) is Verdict.EXPIRED


async def test_a_client_that_was_just_strengthened_is_not_taken_over(
    node: Node, administer: ClientAdministration
) -> None:
    clerk = await node.app("clerk", CLERK)
    await node.app()
    store = Meanwhile(node, lambda: administer.update_policy(ADMIN, "shop", STRONG, ""))
    rotate = node.but(clients=store).usecases.clients.rotate
    with pytest.raises(TokenServiceError) as refused:
        await rotate(clerk, RotateRequest("4b1c", "shop"))
    assert refusal(refused) is Reason.PERMISSION_MISSING
    assert store.happened == 1
    assert len((await node.client("shop")).secrets) == 1
    assert await node.audited("client.rotate_secret", "ok") == 0


async def test_a_client_that_was_just_strengthened_is_not_switched_off_or_on(
    node: Node, administer: ClientAdministration
) -> None:
    clerk = await node.app("clerk", CLERK)
    await node.app()

    async def strengthen() -> None:
        await administer.update_policy(ADMIN, "shop", STRONG, "")

    racing = administration(node, Meanwhile(node, strengthen))
    with pytest.raises(TokenServiceError) as refused:
        await racing.disable(clerk, "shop", "")
    assert refusal(refused) is Reason.PERMISSION_MISSING
    assert (await node.client("shop")).state is ClientState.ACTIVE

    await administer.update_policy(ADMIN, "shop", APP, "")
    await administer.disable(ADMIN, "shop", "")
    racing = administration(node, Meanwhile(node, strengthen))
    with pytest.raises(TokenServiceError) as refused:
        await racing.enable(clerk, "shop", "")
    assert refusal(refused) is Reason.PERMISSION_MISSING
    assert (await node.client("shop")).state is ClientState.DISABLED


async def test_a_change_that_takes_nothing_from_the_decision_is_written_after_all(
    node: Node, administer: ClientAdministration
) -> None:
    clerk = await node.app("clerk", CLERK)
    await node.app()
    wider = replace(APP, scopes=APP.scopes | {"orders.refund"})
    store = Meanwhile(node, lambda: administer.update_policy(ADMIN, "shop", wider, ""))
    changed = await administration(node, store).disable(clerk, "shop", "")
    assert store.happened == 2
    assert changed.client.state is ClientState.DISABLED
    assert changed.client.policy == wider
