"""Clients are registered, found again, and reviewed once."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.clients.rows import (
    LATER,
    OVERLAP,
    WIDE,
    actions,
    client,
    config_version,
    entries,
    get,
    longest_access,
    secret,
)
from tests.integration.postgres_world import (
    World,
    event,
    holding,
    until_let_be,
)
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.adapters.postgres.pool import Database
from token_service.domain.errors import TokenServiceError
from token_service.domain.kinds import (
    ClientState,
)


async def test_a_registration_comes_back_as_it_was_put(world: World, clients: ClientStore) -> None:
    one = client()
    assert await clients.insert(one, event("client.register"))
    assert await clients.get(one.client_id) == (one, await config_version(world))
    assert await clients.get("nobody") is None
    assert await actions(world) == ["client.register"]


async def test_registrations_do_not_touch_what_nodes_hold(
    world: World, clients: ClientStore
) -> None:
    before = await config_version(world), await longest_access(world)
    assert await clients.insert(client(), event("client.register"))
    assert (await config_version(world), await longest_access(world)) == before


async def test_an_active_client_is_put_with_its_secrets(world: World, clients: ClientStore) -> None:
    """As the first administrator is."""
    used = secret("used", first_used_at=LATER, created_at=LATER, expires_at=OVERLAP)
    one = client(state=ClientState.ACTIVE, secrets=(used, secret("new")), registration_hash=None)
    one = replace(one, registration_pepper="")
    before = await config_version(world)
    assert await clients.insert(one, event("client.bootstrap"))
    assert await get(clients) == one
    assert await config_version(world) == before + 1
    assert await longest_access(world) == WIDE.access_lifetime


async def test_an_id_is_given_once(world: World, clients: ClientStore) -> None:
    assert await clients.insert(client(), event("client.register"))
    other = client(name="Other", secrets=(secret("other"),), state=ClientState.ACTIVE)
    assert not await clients.insert(other, event("client.register"))
    assert await get(clients) == client()
    assert await actions(world) == ["client.register"]


async def test_pages_hold_every_client_once_in_the_order_of_ids(
    world: World, clients: ClientStore
) -> None:
    for client_id in ("b", "a.b", "z-9", "a-b"):
        await clients.insert(client(client_id=client_id), event("client.register"))
    seen: list[str] = []
    token = ""
    while True:
        page, token = await clients.page(None, 2, token)
        seen += [one.client_id for one in page]
        if not token:
            break
    assert seen == ["a-b", "a.b", "b", "shop", "z-9"]
    page, token = await clients.page(ClientState.ACTIVE, 10, "")
    assert ([one.client_id for one in page], token) == (["shop"], "")
    with pytest.raises(TokenServiceError) as refused:
        await clients.page(None, 2, "no token")
    assert refused.value.field == "page_token"


async def test_an_approval_may_set_the_policy(world: World, clients: ClientStore) -> None:
    await clients.insert(client(), event("client.register"))
    narrow = replace(WIDE, permissions=frozenset(), access_lifetime=timedelta(minutes=7))
    before = await config_version(world)
    audit = replace(event("client.review"), actor="reviewer", at=LATER)
    assert await clients.review("billing-7f3a", ClientState.APPROVED, narrow, "less", audit)
    assert await get(clients) == client(
        state=ClientState.APPROVED,
        policy=narrow,
        reviewed_by="reviewer",
        review_note="less",
        updated_at=LATER,
    )
    assert await config_version(world) == before + 1
    assert await longest_access(world) == timedelta(minutes=7)
    assert await entries(world) == []


async def test_of_two_reviewers_at_once_one_wins(
    databases: list[Database], world: World, clients: ClientStore
) -> None:
    await clients.insert(client(), event("client.register"))
    states = [ClientState.APPROVED, ClientState.REJECTED] * 8
    stores = [ClientStore(database) for database in databases]
    decided = await asyncio.gather(
        *(
            stores[n % 3 % 2].review(
                "billing-7f3a",
                state,
                None,
                state.name,
                replace(event("client.review"), actor=f"reviewer {n}"),
            )
            for n, state in enumerate(states)
        )
    )
    assert decided.count(True) == 1
    winner = decided.index(True)
    reviewed = await get(clients)
    assert (reviewed.state, reviewed.review_note) == (states[winner], states[winner].name)
    assert reviewed.reviewed_by == f"reviewer {winner}"
    assert (await actions(world)).count("client.review") == 1


async def test_a_reviewer_who_waited_for_another_decides_nothing(
    databases: list[Database], world: World, clients: ClientStore
) -> None:
    await clients.insert(client(), event("client.register"))
    reject = "UPDATE clients SET state = 4 WHERE client_id = 'billing-7f3a'"
    async with holding(databases[1], reject):
        audit = event("client.review")
        task = asyncio.create_task(
            clients.review("billing-7f3a", ClientState.APPROVED, None, "", audit)
        )
        await until_let_be(databases[1])
    assert await task is False
    assert (await get(clients)).state is ClientState.REJECTED
