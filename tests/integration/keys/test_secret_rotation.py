"""A configured secret is replaced for real: what the doctor says of the former one is so."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr

from tests.integration.codes.code_world import Codes
from tests.support.clocks import StandingClock
from tests.support.node import ADMIN, Node, started
from tests.support.servers import ServerProcess
from tests.support.world import World
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.crypto.keyring import Keyring
from token_service.adapters.postgres.pairing.store import PairingStore
from token_service.cli.doctor import secret_keys
from token_service.cli.values import time_text
from token_service.domain.kinds import KeyPurpose, KeyState, PairingDirection, PairingState
from token_service.domain.pairing.decision import Pairing
from token_service.domain.sessions.session import UNKNOWN_DEVICE
from tokenservice.v1 import client_service_pb2 as pb

EVERY = (KeyPurpose.SIGNING, KeyPurpose.MINT, KeyPurpose.PEPPER, KeyPurpose.OPAQUE)
OLD, NEW = (f"{name}:{SecretKeys.generate_text().partition(':')[2]}" for name in ("old", "new"))
FREE = ["no key needs it"]
AWHILE = timedelta(minutes=20)


async def told(node: Node) -> list[str]:
    """What the doctor says of the old secret and its keys; and it is so: a server that has only
    the new one can be started where no key needs the old one, and nowhere else."""
    keys = await node.parts.keys.all()
    uses = await node.parts.keys.pepper_uses(node.clock.now())
    checks = secret_keys.judge(("new", "old"), keys, uses, node.parts.key_schedule)
    said = [check.detail for check in checks if check.name == "secret old"]
    keyring = Keyring(SecretKeys.parse(NEW))
    keyring.load(keys)
    if said == FREE:
        keyring.require_all()
    else:
        with pytest.raises(ValueError, match="'old' is missing"):
            keyring.require_all()
    return said


async def both(node: Node) -> Node:
    """Another node with the new secret too, and the keys of the old one replaced."""
    other = await node.sibling(up_to_date=False, secret_keys=SecretStr(f"{NEW}\n{OLD}"))
    administer = other.usecases.keys.administration
    for purpose in EVERY:
        await administer.rotate(ADMIN, purpose, "", "")
    other.clock.move(other.parts.key_schedule.publish_lead)
    await other.parts.key_maintenance.tick()
    await other.refresh()
    return other


def days_ago(days: int) -> StandingClock:
    return StandingClock(datetime.now(UTC) - timedelta(days=days))


async def test_an_old_secret_goes_when_the_doctor_says_so(dsn: str) -> None:
    async with started(dsn, clock=days_ago(200), secret_keys=OLD) as first:
        shop = await first.bootstrap("shop")
        coupon = await Codes(first).new(ttl=timedelta(days=190))
        server_needs = [detail for detail in await told(first) if "until" in detail]
        assert len(server_needs) == len(EVERY)
        assert any("180 days after it is replaced" in detail for detail in server_needs)

        node = await both(first)
        web = await node.app("web")
        tokens = await node.own_session(web)
        said = await told(node)
        assert said[0] == "4 keys need it"
        retiring = {
            key.kid: key for key in await node.parts.keys.all() if key.retires_at is not None
        }
        for key in retiring.values():
            assert f"{key.kid} until {key.retires_at:%Y-%m-%d %H:%M:%S}Z" in " ".join(said)
        assert "until the secrets of shop have moved and its codes are forgotten" in " ".join(said)

        assert await node.recognises("shop", shop.client_secret)
        assert "until its codes are forgotten" in " ".join(await told(node))
        assert await node.exchanges(web, tokens)

        node.clock.move(timedelta(days=181))
        await node.parts.key_maintenance.tick()
        assert await Codes(node).tried(coupon.text) == "ok"
        assert (await told(node))[0] == "1 keys need it"
        await node.database.execute("DELETE FROM codes")  # as servers do when their time is over
        assert "until a running server retires it" in (await told(node))[-1]
        for _ in range(2):
            await node.parts.key_maintenance.retire_unused_peppers()
            node.clock.move(AWHILE)
        assert await told(node) == FREE

    world = World(dsn, None, NEW, {"shop": shop.client_secret}, "", "")
    server = ServerProcess(world.environment())
    try:
        async with world.api(server.address, "shop") as api:
            reply = await api.clients.GetClient(pb.GetClientRequest(), metadata=api.metadata)
            assert reply.client.client_id == "shop"
    finally:
        server.kill()


async def test_a_server_does_not_start_without_a_secret_that_is_needed(dsn: str) -> None:
    async with started(dsn, clock=days_ago(1), secret_keys=OLD) as first:
        await both(first)
    with pytest.raises(RuntimeError, match="the secret 'old' is missing, a key needs it"):
        ServerProcess(World(dsn, None, NEW, {}, "", "").environment())


async def test_a_pepper_stays_for_what_may_still_be_hashed_under_it(dsn: str) -> None:
    async with started(dsn, secret_keys=OLD) as first:
        node = await both(first)
        await node.parts.key_maintenance.retire_unused_peppers()
        # A node that had not heard yet; afterwards it has.
        shop = await first.bootstrap("shop")
        node.clock.move(AWHILE)
        await node.parts.key_maintenance.retire_unused_peppers()
        assert "until the secrets of shop have moved" in " ".join(await told(node))
        assert await node.recognises("shop", shop.client_secret)
        await node.parts.key_maintenance.retire_unused_peppers()
        assert (await told(node))[0] == "4 keys need it"
        node.clock.move(AWHILE)
        await node.parts.key_maintenance.retire_unused_peppers()
        assert (await told(node))[0] == "3 keys need it"
        assert await node.audited("key.schedule") >= 1
        states = {
            key.secret_key_id: key.state
            for key in await node.parts.keys.all()
            if key.purpose is KeyPurpose.PEPPER
        }
        assert states == {"old": KeyState.RETIRED, "new": KeyState.ACTIVE}


async def test_a_pepper_stays_for_pairings_whose_collection_may_be_repeated(dsn: str) -> None:
    async with started(dsn, secret_keys=OLD) as first:
        now, pepper = first.clock.now(), first.parts.secrets.active_pepper()
        collected = Pairing(
            pairing_id=uuid4(),
            direction=PairingDirection.MAP,
            direct=False,
            client_id="shop",
            starter_client="shop",
            pepper_id=pepper,
            watch_hash=b"w" * 32,
            audiences=(),
            scopes=(),
            starter=UNKNOWN_DEVICE,
            started_at=now,
            state=PairingState.COMPLETED,
            ends_at=now,
        )
        pairings = PairingStore(first.database)
        assert await pairings.insert(collected, [], ADMIN.audit(now, "pairing.scan"))
        node = await both(first)
        for _ in range(3):
            await node.parts.key_maintenance.retire_unused_peppers()
            node.clock.move(AWHILE)
        forgotten = time_text(now + timedelta(hours=25))
        said = " ".join(await told(node))
        assert f"until its pairings are forgotten ({forgotten})" in said
        await node.database.execute("DELETE FROM pairings")  # as servers do when their time is over
        for _ in range(2):
            await node.parts.key_maintenance.retire_unused_peppers()
            node.clock.move(AWHILE)
        assert (await told(node))[0] == "3 keys need it"
