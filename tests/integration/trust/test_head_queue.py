"""Whoever moves the trust head gets it, however many hold it one after the other."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.integration.postgres_world import NOW, World, make_world, revocation
from token_service.adapters.postgres import trust_head
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.domain.kinds import TrustEntryKind

HOLDERS = 4
ENOUGH = 20
"""Holders after one another: with what each one holds it for, twice a call's time limit."""
HELD_SECONDS = 0.2


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=2 * HOLDERS + 2)
    yield await make_world(database)
    await database.close()


async def test_a_revocation_does_not_wait_for_those_who_come_later(
    world: World, revocations: RevocationStore
) -> None:
    held = 0
    is_over = asyncio.Event()

    async def holder(number: int) -> None:
        nonlocal held
        await asyncio.sleep(HELD_SECONDS * number / HOLDERS)
        while held < ENOUGH * HOLDERS and not is_over.is_set():
            async with world.database.transaction(trust_head.HOLD):
                held += 1
                await asyncio.sleep(HELD_SECONDS)

    holders = [asyncio.create_task(holder(number)) for number in range(HOLDERS)]
    while held < HOLDERS:
        await asyncio.sleep(HELD_SECONDS / HOLDERS)
    await revocations.revoke(revocation(TrustEntryKind.TOKEN, "t"), NOW)
    is_over.set()
    await asyncio.gather(*holders)
    assert held <= 3 * HOLDERS
