"""Keys: on schedule, on command, and compromised, on a real database."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.node import ADMIN, APP, Node, started
from token_service.adapters.postgres.keys.store import KeyStore
from token_service.adapters.postgres.pool import Database
from token_service.domain.clients.caller import Caller
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.keys.key import Key
from token_service.domain.kinds import AccessFormat, KeyPurpose, KeyState, Permission
from token_service.usecases.keys.administration import CompromiseKey, KeyAdministration
from token_service.usecases.keys.maintenance import KeyMaintenance
from token_service.usecases.trust.revoke import CompromiseKey as CompromiseKeyPort
from tokenservice.core import Verdict

EVERY = (KeyPurpose.SIGNING, KeyPurpose.MINT, KeyPurpose.PEPPER, KeyPurpose.OPAQUE)
OPAQUE = replace(APP, access_format=AccessFormat.OPAQUE)


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as running:
        yield running


@pytest.fixture
def compromise(node: Node) -> CompromiseKeyPort:
    return compromise_on(node)


@pytest.fixture
def administer(node: Node) -> KeyAdministration:
    return node.usecases.keys.administration


def compromise_on(node: Node) -> CompromiseKey:
    return node.usecases.keys.compromise


async def keys_of(node: Node, purpose: KeyPurpose, *states: KeyState) -> list[Key]:
    return [
        key
        for key in await node.parts.keys.all()
        if key.purpose is purpose and (not states or key.state in states)
    ]


async def active(node: Node, purpose: KeyPurpose) -> Key:
    (key,) = await keys_of(node, purpose, KeyState.ACTIVE)
    return key


async def state_of(node: Node, kid: str) -> KeyState:
    return next(key.state for key in await node.parts.keys.all() if key.kid == kid)


async def test_nodes_that_start_together_share_one_key_of_each_kind(dsn: str) -> None:
    async with started(dsn) as first:
        await first.database.execute("DELETE FROM keys")
        nodes = [await first.sibling(up_to_date=False) for _ in range(4)]
        await asyncio.gather(
            *(node.parts.key_maintenance.ensure(node.clock.now()) for node in nodes)
        )
        for purpose in EVERY:
            assert len(await keys_of(first, purpose)) == 1
            assert (await active(first, purpose)).activates_at == first.clock.now()


async def test_a_second_start_makes_nothing(node: Node) -> None:
    before = await node.parts.keys.all()
    await node.parts.key_maintenance.ensure(node.clock.now())
    await node.parts.key_maintenance.tick()
    assert await node.parts.keys.all() == before
    assert await node.audited("key.create") == len(before)


async def test_keys_are_published_before_they_are_used_and_outlive_their_tokens(
    node: Node,
) -> None:
    shop = await node.app()
    former = await active(node, KeyPurpose.SIGNING)
    node.clock.move(
        node.parts.key_schedule.rotation[KeyPurpose.SIGNING] - node.parts.key_schedule.publish_lead
    )
    await node.parts.key_maintenance.tick()
    (successor,) = await keys_of(node, KeyPurpose.SIGNING, KeyState.PENDING)
    assert successor.activates_at - node.clock.now() >= 2 * node.parts.key_schedule.staleness_limit
    await node.refresh()
    old_token = await node.own_session(shop)
    assert {key.kid for key in node.parts.keyring.public_keys()} >= {former.kid, successor.kid}

    node.clock.move(node.parts.key_schedule.publish_lead)
    await node.parts.key_maintenance.tick()
    await node.refresh()
    assert (await active(node, KeyPurpose.SIGNING)).kid == successor.kid
    assert await state_of(node, former.kid) is KeyState.RETIRING
    assert await node.verdict(old_token) is Verdict.ACTIVE
    assert await node.verdict(await node.own_session(shop)) is Verdict.ACTIVE

    life = node.parts.key_schedule.life[KeyPurpose.SIGNING]
    assert life is not None
    node.clock.move(life + node.parts.key_schedule.publish_lead)
    await node.parts.key_maintenance.tick()
    assert await state_of(node, former.kid) is KeyState.RETIRED


async def test_nodes_that_tick_together_end_with_one_signer(node: Node) -> None:
    nodes = [node, *[await node.sibling() for _ in range(3)]]
    for moved in (
        node.parts.key_schedule.rotation[KeyPurpose.SIGNING],
        node.parts.key_schedule.publish_lead,
    ):
        node.clock.move(moved)
        await asyncio.gather(*(one.parts.key_maintenance.tick() for one in nodes))
        for purpose in EVERY:
            assert await keys_of(node, purpose, KeyState.ACTIVE)
    await node.parts.key_maintenance.tick()
    for purpose in (KeyPurpose.SIGNING, KeyPurpose.MINT, KeyPurpose.OPAQUE):
        assert len(await keys_of(node, purpose, KeyState.ACTIVE)) == 1
        assert not await keys_of(node, purpose, KeyState.PENDING)


class SlowOnce(KeyStore):
    """The real store, whose first answer is on its way for a while."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.read = asyncio.Event()
        self.arrives = asyncio.Event()

    async def all(self) -> tuple[Key, ...]:
        found = await super().all()
        if not self.read.is_set():
            self.read.set()
            await self.arrives.wait()
        return found


async def test_an_older_reading_of_the_keys_never_replaces_a_newer_one(
    node: Node, administer: KeyAdministration
) -> None:
    store = SlowOnce(node.database)
    maintenance = KeyMaintenance(
        store, node.parts.keyring, node.parts.trust, node.clock, node.parts.key_schedule
    )
    async with asyncio.TaskGroup() as loads:
        loads.create_task(maintenance.load(10))
        await store.read.wait()
        made = await administer.rotate(ADMIN, KeyPurpose.SIGNING, "", "")
        newer = loads.create_task(maintenance.load(11))
        await asyncio.wait([newer], timeout=0.2)
        store.arrives.set()
    assert made.kid in {key.kid for key in node.parts.keyring.public_keys()}
    assert node.parts.keyring.signing_key(made.kid) is not None


@pytest.mark.parametrize("purpose", EVERY)
async def test_a_rotation_on_command_is_announced_first(
    node: Node, administer: KeyAdministration, purpose: KeyPurpose
) -> None:
    former = await active(node, purpose)
    made = await administer.rotate(ADMIN, purpose, "", "monthly")
    assert made.state is KeyState.PENDING
    assert made.algorithm == former.algorithm
    assert made.activates_at - node.clock.now() >= 2 * node.parts.key_schedule.staleness_limit
    assert (await active(node, purpose)).kid == former.kid
    with pytest.raises(TokenServiceError) as refused:
        await administer.rotate(ADMIN, purpose, "", "")
    assert refused.value.reason is Reason.KEY_STATE
    node.clock.move(node.parts.key_schedule.publish_lead)
    await node.parts.key_maintenance.tick()
    assert (await active(node, purpose)).kid == made.kid
    assert await state_of(node, former.kid) is KeyState.RETIRING


async def test_an_algorithm_comes_into_use_by_rotating_to_it(
    node: Node, administer: KeyAdministration
) -> None:
    made = await administer.rotate(ADMIN, KeyPurpose.SIGNING, "ES256", "")
    node.clock.move(node.parts.key_schedule.publish_lead)
    await node.parts.key_maintenance.tick()
    await node.refresh()
    assert await state_of(node, made.kid) is KeyState.ACTIVE
    shop = await node.app("shop", replace(APP, signing_algorithm="ES256"))
    assert await node.verdict(await node.own_session(shop)) is Verdict.ACTIVE
    assert len(await keys_of(node, KeyPurpose.SIGNING, KeyState.ACTIVE)) == 2


@pytest.mark.parametrize(
    ("purpose", "algorithm"), [(KeyPurpose.SIGNING, "none"), (KeyPurpose.MINT, "HS256")]
)
async def test_an_algorithm_that_is_none_of_ours_is_refused(
    administer: KeyAdministration, purpose: KeyPurpose, algorithm: str
) -> None:
    with pytest.raises(TokenServiceError) as refused:
        await administer.rotate(ADMIN, purpose, algorithm, "")
    assert refused.value.field == "algorithm"


async def test_a_compromised_signing_key_kills_its_tokens_and_nothing_else(
    node: Node, compromise: CompromiseKeyPort
) -> None:
    shop = await node.app()
    other = await node.sibling()
    tokens = await node.own_session(shop)
    assert await node.verdict(tokens) is Verdict.ACTIVE
    assert await other.verdict(tokens) is Verdict.ACTIVE
    key = await active(node, KeyPurpose.SIGNING)

    revoked = await compromise(ADMIN, key.kid, "laptop stolen")
    assert node.parts.trust.state.revision == revoked.revision
    assert await node.verdict(tokens) in (Verdict.REVOKED, Verdict.UNKNOWN)
    await other.refresh()
    assert await other.verdict(tokens) in (Verdict.REVOKED, Verdict.UNKNOWN)

    assert await state_of(node, key.kid) is KeyState.COMPROMISED
    assert (await active(node, KeyPurpose.SIGNING)).kid != key.kid
    fresh = await node.own_session(shop)
    assert await node.verdict(fresh) is Verdict.ACTIVE
    assert await other.verdict(fresh) is Verdict.ACTIVE
    assert await node.exchanges(shop, tokens)


async def test_a_compromised_mint_key_ends_the_sessions_it_made(
    node: Node, compromise: CompromiseKeyPort
) -> None:
    shop = await node.app()
    tokens = await node.own_session(shop)
    key = await active(node, KeyPurpose.MINT)
    await compromise(ADMIN, key.kid, "")
    assert not await node.exchanges(shop, tokens)
    fresh = await node.own_session(shop)
    assert fresh.session.mint_kid == (await active(node, KeyPurpose.MINT)).kid != key.kid
    assert await node.exchanges(shop, fresh)


async def test_a_compromised_opaque_key_kills_its_tokens_and_the_session_lives_on(
    node: Node, compromise: CompromiseKeyPort
) -> None:
    shop = await node.app("shop", OPAQUE)
    tokens = await node.own_session(shop)
    assert await node.verdict(tokens) is Verdict.ACTIVE
    await compromise(ADMIN, (await active(node, KeyPurpose.OPAQUE)).kid, "")
    assert await node.verdict(tokens) in (Verdict.REVOKED, Verdict.UNKNOWN)
    assert await node.exchanges(shop, tokens)
    assert await node.verdict(await node.own_session(shop)) is Verdict.ACTIVE


async def test_a_compromised_pepper_locks_nobody_out(
    node: Node, compromise: CompromiseKeyPort
) -> None:
    credentials = await node.bootstrap("shop")
    pepper = await active(node, KeyPurpose.PEPPER)
    before = node.parts.trust.state.revision
    revoked = await compromise(ADMIN, pepper.kid, "")
    assert revoked.revision == before
    await node.refresh()
    assert await state_of(node, pepper.kid) is KeyState.RETIRING
    successor = await active(node, KeyPurpose.PEPPER)
    assert node.parts.secrets.active_pepper() == successor.kid
    assert await node.recognises("shop", credentials.client_secret)
    (secret,) = (await node.client("shop")).secrets
    assert secret.pepper_id == successor.kid
    assert await node.audited("key.compromise") == 1
    again = await compromise(ADMIN, pepper.kid, "")
    assert again.revision == before
    assert (await active(node, KeyPurpose.PEPPER)).kid == successor.kid


async def test_a_pending_key_is_the_first_choice_to_take_over(
    node: Node, administer: KeyAdministration, compromise: CompromiseKeyPort
) -> None:
    for purpose in EVERY:
        made = await administer.rotate(ADMIN, purpose, "", "")
        await compromise(ADMIN, (await active(node, purpose)).kid, "")
        assert (await active(node, purpose)).kid == made.kid


@pytest.mark.parametrize("purpose", EVERY)
async def test_a_compromised_pending_key_never_comes_into_use(
    node: Node,
    administer: KeyAdministration,
    compromise: CompromiseKeyPort,
    purpose: KeyPurpose,
) -> None:
    former = await active(node, purpose)
    made = await administer.rotate(ADMIN, purpose, "", "")
    await compromise(ADMIN, made.kid, "")
    node.clock.move(node.parts.key_schedule.publish_lead * 2)
    await node.parts.key_maintenance.tick()
    assert (await active(node, purpose)).kid == former.kid
    assert await state_of(node, made.kid) in (KeyState.COMPROMISED, KeyState.RETIRED)


async def test_compromising_again_changes_nothing(
    node: Node, compromise: CompromiseKeyPort
) -> None:
    key = await active(node, KeyPurpose.SIGNING)
    first = await compromise(ADMIN, key.kid, "")
    again = await compromise(ADMIN, key.kid, "")
    assert again.revision == first.revision
    assert await node.audited("key.compromise") == 1
    assert len(await keys_of(node, KeyPurpose.SIGNING)) == 2


async def test_administrators_who_act_at_once_leave_an_active_key(node: Node) -> None:
    other = await node.sibling()
    key = await active(node, KeyPurpose.SIGNING)
    await asyncio.gather(
        *(compromise_on(one)(ADMIN, key.kid, "") for one in (node, other) for _ in range(3))
    )
    alive = await keys_of(node, KeyPurpose.SIGNING, KeyState.ACTIVE)
    assert alive
    assert key.kid not in {one.kid for one in alive}
    # Each of several successors, too, and all at the same moment.
    await asyncio.gather(*(compromise_on(node)(ADMIN, one.kid, "") for one in alive))
    assert await keys_of(node, KeyPurpose.SIGNING, KeyState.ACTIVE)
    await node.refresh()
    shop = await node.app()
    assert await node.verdict(await node.own_session(shop)) is Verdict.ACTIVE


async def test_an_unknown_key_is_not_found(compromise: CompromiseKeyPort) -> None:
    with pytest.raises(TokenServiceError) as refused:
        await compromise(ADMIN, "00112233", "")
    assert refused.value.reason is Reason.KEY_NOT_FOUND


async def test_keys_are_listed_newest_first(node: Node, administer: KeyAdministration) -> None:
    node.clock.move(timedelta(seconds=1))
    made = await administer.rotate(ADMIN, KeyPurpose.MINT, "", "")
    listed: list[Key] = []
    token = ""
    while True:
        page, token = await administer.page(ADMIN, None, 2, token)
        listed += page
        if not token:
            break
    assert listed[0] == made
    assert len(listed) == len(EVERY) + 1
    mints, _ = await administer.page(ADMIN, KeyPurpose.MINT, 50, "")
    assert {key.purpose for key in mints} == {KeyPurpose.MINT}
    assert len(mints) == 2


async def test_keys_need_their_permission(
    node: Node, administer: KeyAdministration, compromise: CompromiseKeyPort
) -> None:
    others = frozenset(Permission) - {Permission.ADMIN_KEYS, Permission.TOKENS_REVOKE_ANY}
    caller = Caller("shop", ClientPolicy(permissions=others))
    kid = (await active(node, KeyPurpose.SIGNING)).kid
    for call in (
        administer.page(caller, None, 50, ""),
        administer.get(caller, kid),
        administer.rotate(caller, KeyPurpose.MINT, "", ""),
        compromise(caller, kid, ""),
    ):
        with pytest.raises(TokenServiceError) as refused:
            await call
        assert refused.value.reason is Reason.PERMISSION_MISSING
    assert await state_of(node, kid) is KeyState.ACTIVE
