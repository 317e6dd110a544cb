"""A killed server, stopped stores, and secrets where they do not belong."""

import asyncio
import json
import os
from typing import TYPE_CHECKING

from tests.support.callers import Callers, Person
from tests.support.canaries import Canaries, rows_of, values_of
from tests.support.devices import (
    Pair,
    following,
    other_number,
    scan,
    start_map,
    start_pam,
    state_name,
)
from tests.support.fixtures import StartApplication, StartServer
from tests.support.outcomes import outcome
from tests.support.servers import ServerProcess
from tests.support.waiting import patience
from tests.support.world import World
from token_service.adapters.embedded import EmbeddedValkey

if TYPE_CHECKING:
    from tests.conftest import Stores

UNREDACTED = "tests.faults.unredacted"


def by_way_of(pair: Pair, callers: Callers) -> Pair:
    return Pair(callers.web, callers.client("mobile"), pair.direction, pair.started, pair.scan)


async def test_a_killed_server_takes_nothing_with_it(
    world: World, start_server: StartServer, start_application: StartApplication
) -> None:
    """Each step by a server of its own; the collection's reply is lost with the last but one."""
    once = os.urandom(16)
    first, second, third = start_server(), start_server(), await start_application()
    async with Callers(world, third.address) as left:
        person = await left.new_person()
        phone = (await left.log_in(person, "mobile")).session_token
        async with Callers(world, first.address) as callers:
            pair = await start_map(callers)
            await pair.scanned(session_token=phone)
        first.kill()
        async with Callers(world, second.address) as callers:
            pair = by_way_of(pair, callers)
            async with following(pair.watch()) as stream:
                assert state_name((await stream.read()).state) == "SCANNED"
                await pair.approve(phone)
                assert state_name((await stream.read()).state) == "APPROVED"
                lost = asyncio.create_task(outcome(pair.collect(once)))
                await asyncio.sleep(0.01)
                second.kill()
            await lost
        pair = by_way_of(pair, left)
        collected = await pair.collect(once)
        again = await pair.collect(once)
        assert again.replayed
        assert again.tokens.session_token == collected.tokens.session_token
        assert await left.gateway.verdict(collected.tokens.access_tokens[0].token) == "ACTIVE"
        async with following(pair.watch()) as stream:
            assert state_name((await stream.read()).state) == "COMPLETED"


async def test_a_stopped_redis_keeps_nobody_from_going_on(
    world: World, start_application: StartApplication, embedded: "Stores"
) -> None:
    server = await start_application()
    async with Callers(world, server.address) as callers:
        await go_on_without_redis(callers, embedded.valkey)


async def go_on_without_redis(callers: Callers, valkey: EmbeddedValkey) -> None:
    person = await callers.new_person()
    phone = (await callers.log_in(person, "mobile")).session_token
    pending = await start_map(callers)
    pair = await start_map(callers)
    await pair.scanned(session_token=phone)
    async with following(pair.watch()) as stream:
        await stream.read()
        await asyncio.to_thread(valkey.stop)
        try:
            assert await outcome(start_map(callers)) == "STORE_UNAVAILABLE"
            lost = scan(pair.phone, pending.started.code, session_token=phone)
            assert await outcome(lost) == "STORE_UNAVAILABLE"
            await pair.approve(phone)
            assert state_name((await stream.read()).state) == "APPROVED"
            collected = await pair.collect()
        finally:
            await asyncio.to_thread(valkey.start)
        assert state_name((await stream.read()).state) == "COMPLETED"
    assert await callers.gateway.verdict(collected.tokens.access_tokens[0].token) == "ACTIVE"
    async with patience():
        while isinstance(await outcome(start_map(callers)), str):
            await asyncio.sleep(0.1)


async def use(callers: Callers, canaries: Canaries, person: Person) -> None:
    """Pair in both directions, plant every secret, and use them in wrong places."""
    browser = canaries.token_set(await callers.log_in(person)).session_token
    phone = canaries.token_set(await callers.log_in(person, "mobile")).session_token
    for start in (start_map(callers), start_pam(callers, browser)):
        pair = await start
        code = canaries.plant(pair.started.code)
        canaries.plant(code.replace("-", ""))
        canaries.plant(pair.started.watch_secret)
        scan_id, once = os.urandom(16), os.urandom(16)
        canaries.plant(scan_id.hex())
        canaries.plant(once.hex())
        await pair.scanned(session_token=phone, scan_id=scan_id)
        secret = canaries.plant(pair.scanner["scan_secret"])
        own = phone if pair.direction == 2 else browser
        number = await pair.number()
        await canaries.refuse(pair.approve(own, other_number(number)))
        await canaries.refuse(pair.approve(secret, number))
        await canaries.refuse(pair.approve(own, secret))
        for bad in (secret, code + "0", pair.started.watch_secret, phone):
            await canaries.refuse(scan(pair.phone, bad, session_token=phone))
            await canaries.refuse(scan(pair.phone, code, session_token=bad))
            await canaries.refuse(start_map(callers, client_id=bad))
            await canaries.refuse(start_pam(callers, bad))
            await canaries.refuse(callers.gateway.verdict(bad, audience=bad))
        third = await start_map(callers)
        await third.scanned(session_token=phone)
        await third.approve(phone)
        canaries.token_set((await third.collect(once)).tokens)
        canaries.token_set((await third.collect(once)).tokens)
        await canaries.refuse(third.collect())


async def test_nothing_secret_is_logged_said_or_kept(world: World) -> None:
    canaries = Canaries(world)
    server = ServerProcess(world.environment(), module=UNREDACTED)
    try:
        async with Callers(world, server.address) as callers:
            person = await callers.new_person()
            canaries.plant(person.password)
            await use(callers, canaries, person)
            stored = [
                *await rows_of(world.dsn),
                *await asyncio.to_thread(values_of, world.redis_url),
            ]
        assert server.terminate() == 0
    finally:
        server.kill()
    methods = {json.loads(line).get("method", "") for line in server.output if line[:1] == "{"}
    assert "/tokenservice.v1.PairingService/ScanPairing" in methods
    assert {"FAILED_PRECONDITION", "INVALID_ARGUMENT", "UNAUTHENTICATED"} <= set(canaries.refused)
    assert canaries.seen_in(server.output) == []
    assert canaries.seen_in(canaries.said) == []
    assert canaries.seen_in(stored, at_rest=True) == []
