"""Secrets of clients: collected, used, replaced and moved to another pepper."""

import asyncio
from datetime import datetime, timedelta

import pytest

from tests.integration.clients.rows import (
    LATER,
    OVERLAP,
    actions,
    approved,
    client,
    config_version,
    get,
    names,
    put,
    secret,
)
from tests.integration.postgres_world import (
    NOW,
    World,
    event,
    holding,
    until_let_be,
)
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.adapters.postgres.pool import Database
from token_service.domain.kinds import (
    ClientState,
)


@pytest.mark.parametrize("state", [ClientState.PENDING, ClientState.REJECTED, ClientState.DISABLED])
@pytest.mark.parametrize("old_expires_at", [None, OVERLAP])
async def test_no_secret_for_a_client_that_is_not_let_in(
    world: World, clients: ClientStore, state: ClientState, old_expires_at: datetime | None
) -> None:
    await clients.insert(client(state=state), event("client.register"))
    assert not await put(clients, secret("one"), "r1", old_expires_at)
    assert not await put(clients, secret("one"), "r1", old_expires_at, client_id="nobody")
    assert await names(clients) == set()
    assert (await get(clients)).state is state
    assert await actions(world) == ["client.register"]


async def test_the_first_collection_makes_the_client_active(
    world: World, clients: ClientStore
) -> None:
    await approved(clients)
    before = await config_version(world)
    assert await put(clients, secret("one"), "r1")
    collected = await get(clients)
    assert collected.state is ClientState.ACTIVE
    assert collected.secrets == (secret("one"),)
    assert collected.registration_hash == b"registration hash"
    assert await config_version(world) == before + 1


async def test_a_collection_replaces_what_nobody_has_used(clients: ClientStore) -> None:
    await approved(clients)
    assert await put(clients, secret("one"), "r1")
    assert await put(clients, secret("two"), "r2")
    assert await names(clients) == {b"two"}


async def test_a_repeated_collection_changes_nothing(world: World, clients: ClientStore) -> None:
    await approved(clients)
    assert await put(clients, secret("one"), "r1")
    before = await get(clients), await config_version(world), await actions(world)
    assert await put(clients, secret("one"), "r1")
    assert (await get(clients), await config_version(world), await actions(world)) == before


async def test_a_repetition_under_a_newer_pepper_replaces_the_lost_answer(
    clients: ClientStore,
) -> None:
    await approved(clients)
    assert await put(clients, secret("old pepper"), "r1")
    assert await put(clients, secret("new pepper", pepper_id="0badf00d"), "r1")
    assert await names(clients) == {b"new pepper"}
    assert await put(clients, secret("rotated, old pepper"), "r2", OVERLAP)
    assert await put(clients, secret("rotated, new pepper", pepper_id="0badf00d"), "r2", OVERLAP)
    assert await names(clients) == {b"new pepper", b"rotated, new pepper"}


async def test_after_the_first_use_nothing_can_be_collected(
    world: World, clients: ClientStore
) -> None:
    await approved(clients)
    assert await put(clients, secret("one"), "r1")
    before = await config_version(world)
    await clients.mark_used("billing-7f3a", b"one", LATER)
    used = await get(clients)
    assert used.secrets == (secret("one", first_used_at=LATER),)
    assert (used.registration_hash, used.registration_spent) == (b"registration hash", True)
    assert await config_version(world) == before + 1
    assert not await put(clients, secret("two"), "r2")
    assert not await put(clients, secret("one"), "r1")
    assert await names(clients) == {b"one"}
    assert (await actions(world))[-1] == "client.first_use"


async def test_only_the_first_use_is_one(world: World, clients: ClientStore) -> None:
    await approved(clients)
    assert await put(clients, secret("one"), "r1")
    uses = (clients.mark_used("billing-7f3a", b"one", NOW + n * (LATER - NOW)) for n in range(12))
    await asyncio.gather(*uses)
    assert (await actions(world)).count("client.first_use") == 1
    version = await config_version(world)
    await clients.mark_used("billing-7f3a", b"one", LATER)
    await clients.mark_used("billing-7f3a", b"no such secret", LATER)
    await clients.mark_used("nobody", b"one", LATER)
    assert await config_version(world) == version


async def test_a_secret_replaced_before_its_first_use_uses_nothing_up(
    databases: list[Database], world: World, clients: ClientStore
) -> None:
    """Who collects last can still be the rightful one: the registration secret must stay good."""
    await approved(clients)
    assert await put(clients, secret("one"), "r1")
    lock = "SELECT FROM clients WHERE client_id = 'billing-7f3a' FOR UPDATE"
    async with holding(databases[1], lock) as collecting:
        using = asyncio.create_task(clients.mark_used("billing-7f3a", b"one", LATER))
        await until_let_be(databases[1])
        await collecting.execute("UPDATE client_secrets SET secret_hash = 'two'")
    await using
    kept = await get(clients)
    assert kept.secrets == (secret("two"),)
    assert kept.registration_hash == b"registration hash"


async def test_collections_and_uses_that_race_end_with_one_secret(
    databases: list[Database], world: World, clients: ClientStore
) -> None:
    await approved(clients)
    stores = [ClientStore(database) for database in databases]
    for turn in range(6):
        work = [put(stores[n % 2], secret(f"{turn}-{n}"), f"r{turn}-{n}") for n in range(8)]
        uses = [
            stores[n % 2].mark_used("billing-7f3a", f"{turn}-{n}".encode(), LATER) for n in range(8)
        ]
        outcomes = await asyncio.gather(*work, *uses, return_exceptions=True)
        assert not [one for one in outcomes if isinstance(one, BaseException)]
        (only,) = (await get(clients)).secrets
        used = only.first_used_at is not None
        assert (await get(clients)).registration_spent is used


async def test_a_rotation_leaves_the_others_their_overlap(
    world: World, clients: ClientStore
) -> None:
    await approved(clients)
    assert await put(clients, secret("one"), "r1")
    await clients.mark_used("billing-7f3a", b"one", NOW)
    before = await config_version(world)
    assert await put(clients, secret("two", created_at=LATER), "r2", OVERLAP)
    assert await config_version(world) == before + 1
    one = secret("one", first_used_at=NOW, expires_at=OVERLAP)
    two = secret("two", created_at=LATER)
    assert (await get(clients)).secrets == (two, one)
    # A second rotation gives the first secret no more time.
    assert await put(clients, secret("three"), "r3", OVERLAP + timedelta(hours=5))
    expiries = {each.secret_hash: each.expires_at for each in (await get(clients)).secrets}
    assert expiries == {b"one": OVERLAP, b"two": OVERLAP + timedelta(hours=5), b"three": None}


async def test_a_rotation_drops_what_has_expired(clients: ClientStore) -> None:
    await approved(clients)
    assert await put(clients, secret("one"), "r1")
    assert await put(clients, secret("two"), "r2", OVERLAP)
    assert await put(clients, secret("three"), "r3", OVERLAP + timedelta(hours=1), at=OVERLAP)
    assert await names(clients) == {b"two", b"three"}


async def test_a_rehash_moves_the_secret_to_the_other_pepper(
    world: World, clients: ClientStore
) -> None:
    await approved(clients)
    assert await put(clients, secret("one"), "r1")
    version = await config_version(world)
    await clients.rehash_secret("billing-7f3a", b"one", b"one again", "0badf00d")
    await clients.rehash_secret("billing-7f3a", b"one", b"too late", "0badf00d")
    await clients.rehash_secret("shop", b"one again", b"another client's", "0badf00d")
    assert (await get(clients)).secrets == (secret("one again", pepper_id="0badf00d"),)
    assert await config_version(world) == version
