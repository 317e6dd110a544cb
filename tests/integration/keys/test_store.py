"""Keys: one live key per slot whoever starts first, and every change told to all nodes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from tests.integration.postgres_world import NOW, event, holding, until_blocked
from token_service.adapters.postgres.keys.store import KeyStore
from token_service.adapters.postgres.pool import Database
from token_service.domain.keys.key import Key
from token_service.domain.kinds import KeyPurpose, KeyState
from token_service.domain.ports import KeyChange

LATER = NOW + timedelta(hours=1)


@pytest.fixture
async def databases(dsn: str) -> AsyncIterator[list[Database]]:
    """Two nodes."""
    async with AsyncExitStack() as stack:
        nodes = [await Database.open(dsn, size=8, call_timeout=30) for _ in range(2)]
        for node in nodes:
            stack.push_async_callback(node.close)
        yield nodes


@pytest.fixture
def keys(databases: list[Database]) -> KeyStore:
    return KeyStore(databases[0])


def key(**changes: Any) -> Key:
    """A signing key, ACTIVE since NOW."""
    given = Key(
        kid=uuid4().hex[:16],
        purpose=KeyPurpose.SIGNING,
        algorithm="EdDSA",
        state=KeyState.ACTIVE,
        secret_key_id="s1",
        public_key=b"public half",
        sealed_private=b"sealed half",
        created_at=NOW,
        activates_at=NOW,
    )
    return replace(given, **changes)


def one_of_each() -> list[Key]:
    derived: dict[str, Any] = {"algorithm": "HS256", "public_key": b"", "sealed_private": b""}
    purposes = (KeyPurpose.MINT, KeyPurpose.PEPPER, KeyPurpose.OPAQUE)
    return [
        key(),
        key(algorithm="ES256"),
        *(key(kid=uuid4().hex[:8], purpose=purpose, **derived) for purpose in purposes),
    ]


async def version(databases: list[Database]) -> int:
    row = await databases[0].fetchrow("SELECT keys_version FROM trust_head")
    assert row is not None
    return int(row[0])


async def audited(databases: list[Database]) -> list[str]:
    return [row[0] for row in await databases[0].fetch("SELECT action FROM audit_log ORDER BY id")]


async def test_keys_come_back_as_they_were_put(databases: list[Database], keys: KeyStore) -> None:
    plain = key()
    derived = key(
        kid="0a1b2c3d",
        purpose=KeyPurpose.PEPPER,
        algorithm="HS256",
        state=KeyState.RETIRED,
        public_key=b"",
        sealed_private=b"",
        created_at=LATER,
        activates_at=LATER,
        retires_at=LATER + timedelta(days=1),
        compromised_at=LATER + timedelta(microseconds=1),
    )
    await keys.insert(plain, event("key.create"))
    await keys.insert(derived, event("key.create"))
    assert await keys.all() == (plain, derived)
    assert await version(databases) == 2
    assert await audited(databases) == ["key.create"] * 2


async def test_a_kid_is_never_given_twice(databases: list[Database], keys: KeyStore) -> None:
    first = key()
    await keys.insert(first, event("key.create"))
    with pytest.raises(asyncpg.UniqueViolationError):
        await keys.insert(replace(first, public_key=b"another"), event("key.create"))
    assert await keys.all() == (first,)
    assert await audited(databases) == ["key.create"]


async def test_many_nodes_that_start_at_once_leave_one_live_key_per_slot(
    databases: list[Database],
) -> None:
    offers = [one_of_each() for _ in range(12)]
    stores = [KeyStore(database) for database in databases]
    await asyncio.gather(
        *(stores[n % 2].bootstrap(offer, event("key.bootstrap")) for n, offer in enumerate(offers))
    )
    kept = await stores[0].all()
    assert sorted(one.kid for one in kept) in [sorted(one.kid for one in offer) for offer in offers]
    assert await version(databases) == 1
    assert await audited(databases) == ["key.bootstrap"]


async def test_a_bootstrap_waits_for_the_one_before_it(
    databases: list[Database], keys: KeyStore
) -> None:
    """The first has the head's lock and has not committed: the second must not decide yet."""
    mine = key()
    async with holding(databases[1], "SELECT FROM trust_head FOR UPDATE") as conn:
        task = asyncio.create_task(keys.bootstrap([key()], event("key.bootstrap")))
        await until_blocked(databases[1])
        await conn.execute(
            """INSERT INTO keys (kid, purpose, algorithm, state, secret_key_id, created_at,
                                 activates_at) VALUES ($1, $2, 'EdDSA', $3, 's1', $4, $4)""",
            mine.kid,
            mine.purpose,
            mine.state,
            NOW,
        )
    await task
    assert [one.kid for one in await keys.all()] == [mine.kid]
    assert await audited(databases) == []


@pytest.mark.parametrize("state", [KeyState.PENDING, KeyState.ACTIVE])
async def test_a_live_key_keeps_its_slot(keys: KeyStore, state: KeyState) -> None:
    first = key(state=state)
    await keys.insert(first, event("key.create"))
    offer = one_of_each()
    await keys.bootstrap(offer, event("key.bootstrap"))
    assert {one.kid for one in await keys.all()} == {first.kid, *(one.kid for one in offer[1:])}


@pytest.mark.parametrize("state", [KeyState.RETIRING, KeyState.RETIRED, KeyState.COMPROMISED])
async def test_a_key_that_makes_nothing_more_leaves_its_slot(
    keys: KeyStore, state: KeyState
) -> None:
    former, new = key(state=state), key()
    await keys.insert(former, event("key.create"))
    await keys.bootstrap([new], event("key.bootstrap"))
    assert {one.kid for one in await keys.all()} == {former.kid, new.kid}


async def test_changes_apply_where_the_state_is_as_decided(
    databases: list[Database], keys: KeyStore
) -> None:
    former, new = key(), key(state=KeyState.PENDING, created_at=LATER)
    for one in (former, new):
        await keys.insert(one, event("key.create"))
    changes = [
        KeyChange(new.kid, KeyState.PENDING, KeyState.ACTIVE),
        KeyChange(former.kid, KeyState.RETIRING, KeyState.RETIRED),
        KeyChange("no such key", KeyState.PENDING, KeyState.ACTIVE),
    ]
    before = await version(databases)
    assert await keys.change(changes, event("key.change")) == 1
    assert await version(databases) == before + 1
    assert await keys.all() == (former, replace(new, state=KeyState.ACTIVE))
    retiring = KeyChange(former.kid, KeyState.ACTIVE, KeyState.RETIRING, LATER)
    assert await keys.change([retiring], event("key.change")) == 1
    assert (await keys.all())[0] == replace(former, state=KeyState.RETIRING, retires_at=LATER)
    done = KeyChange(former.kid, KeyState.RETIRING, KeyState.RETIRED)
    assert await keys.change([done], event("key.change")) == 1
    assert (await keys.all())[0] == replace(former, state=KeyState.RETIRED, retires_at=LATER)


async def test_a_compromise_is_dated(keys: KeyStore) -> None:
    one = key()
    await keys.insert(one, event("key.create"))
    change = KeyChange(one.kid, KeyState.ACTIVE, KeyState.COMPROMISED)
    assert await keys.change([change], event("key.compromise")) == 1
    assert await keys.all() == (replace(one, state=KeyState.COMPROMISED, compromised_at=NOW),)


async def test_what_changes_nothing_is_neither_told_nor_audited(
    databases: list[Database], keys: KeyStore
) -> None:
    one = key()
    await keys.insert(one, event("key.create"))
    stale = KeyChange(one.kid, KeyState.PENDING, KeyState.ACTIVE)
    assert await keys.change([stale], event("key.change")) == 0
    assert await keys.change([], event("key.change")) == 0
    await keys.bootstrap([key()], event("key.bootstrap"))
    assert await version(databases) == 1
    assert await audited(databases) == ["key.create"]


async def test_nodes_that_decide_the_same_change_apply_it_once(
    databases: list[Database], keys: KeyStore
) -> None:
    batch = [key(state=KeyState.PENDING) for _ in range(5)]
    for one in batch:
        await keys.insert(one, event("key.create"))
    changes = [KeyChange(one.kid, KeyState.PENDING, KeyState.ACTIVE) for one in batch]
    stores = [KeyStore(database) for database in databases]
    applied = await asyncio.gather(
        *(stores[n % 2].change(changes[:: 1 - 2 * (n % 2)], event("key.change")) for n in range(16))
    )
    assert sorted(applied) == [0] * 15 + [5]
    assert (await audited(databases)).count("key.change") == 1
