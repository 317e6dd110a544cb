"""Changes of clients: what nodes and validators hear of them, and what lives on."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.integration.clients.rows import (
    LATER,
    actions,
    approved,
    client,
    config_version,
    entries,
    get,
    longest_access,
    put,
    secret,
)
from tests.integration.postgres_world import (
    NOW,
    POLICY,
    World,
    event,
    holding,
    until_blocked,
)
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.adapters.postgres.pool import Database
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import (
    ClientState,
    RevocationReason,
    TokenScheme,
    TrustEffect,
    TrustEntryKind,
)


async def test_a_wider_policy_is_told_to_nodes_alone(world: World, clients: ClientStore) -> None:
    wider = replace(POLICY, scopes=POLICY.scopes | {"orders.cancel"})
    before = await config_version(world)
    audit = replace(event("client.update_policy"), at=LATER)
    changed = await clients.update_policy("shop", wider, narrowed=False, audit=audit)
    assert changed is not None
    assert (changed[0].policy, changed[0].updated_at, changed[1]) == (wider, LATER, 0)
    assert changed[0] == await get(clients, "shop")
    assert await config_version(world) == before + 1
    assert await entries(world) == []


async def test_a_narrower_policy_reissues_and_spares_the_sessions(
    world: World, clients: ClientStore
) -> None:
    session = await world.issue()
    narrow = replace(POLICY, scopes=frozenset({"orders.read"}))
    audit = event("client.update_policy")
    changed = await clients.update_policy("shop", narrow, narrowed=True, audit=audit)
    assert changed is not None
    assert changed[1] == 1
    assert await entries(world) == [
        (
            1,
            TrustEntryKind.CLIENT,
            "shop",
            TrustEffect.REISSUE,
            RevocationReason.POLICY_NARROWED,
        )
    ]
    assert await world.lives(session)


async def test_what_another_change_allowed_meanwhile_is_narrowed_too(
    databases: list[Database], world: World, clients: ClientStore
) -> None:
    """Both decided on the policy as it was; the second takes back what the first one gave."""
    first = replace(POLICY, scopes=POLICY.scopes | {"orders.cancel"})
    second = replace(POLICY, scopes=POLICY.scopes | {"orders.refund"})
    audit = event("client.update_policy")
    other = ClientStore(databases[1])
    await other.update_policy("shop", first, narrowed=False, audit=audit)
    changed = await clients.update_policy("shop", second, narrowed=False, audit=audit)
    assert changed is not None
    assert changed[1] == 1
    assert [entry[3] for entry in await entries(world)] == [TrustEffect.REISSUE]


async def test_the_longest_access_lifetime_only_grows(world: World, clients: ClientStore) -> None:
    lifetimes = [timedelta(minutes=30), timedelta(minutes=3)]
    for lifetime in lifetimes:
        policy = replace(POLICY, access_lifetime=lifetime)
        audit = event("client.update_policy")
        await clients.update_policy("shop", policy, narrowed=False, audit=audit)
        assert await longest_access(world) == lifetimes[0]
    rolling = replace(POLICY, scheme=TokenScheme.ROLLING, rolling_lifetime=timedelta(hours=24))
    audit = event("client.update_policy")
    await clients.update_policy("shop", rolling, narrowed=True, audit=audit)
    assert await longest_access(world) == timedelta(hours=24)
    # What could be killed by it may live that long.
    keep = await world.value("SELECT keep_until FROM trust_log")
    assert keep == NOW + timedelta(hours=24, seconds=60)


async def test_a_disabled_client_has_nothing_left_and_gets_none_of_it_back(
    world: World, clients: ClientStore
) -> None:
    sessions = [await world.issue(), await world.issue(world.own_session())]
    before = await config_version(world)
    audit = replace(event("client.disable"), at=LATER)
    changed = await clients.set_enabled("shop", False, audit)
    assert changed is not None
    disabled, revision = changed
    assert (disabled.state, disabled.valid_rev, disabled.updated_at, revision) == (
        ClientState.DISABLED,
        1,
        LATER,
        1,
    )
    assert await config_version(world) == before + 1
    assert await entries(world) == [
        (
            1,
            TrustEntryKind.CLIENT,
            "shop",
            TrustEffect.REVOKE,
            RevocationReason.CLIENT_DISABLED,
        )
    ]
    guard = world.guard(config_version=before + 1)
    assert await world.sessions.insert(world.session(), guard, event("issue")) is None
    await clients.set_enabled("shop", True, event("client.enable"))
    assert [await world.lives(session) for session in sessions] == [False, False]
    assert await config_version(world) == before + 2
    guard = world.guard(config_version=before + 2)
    fresh = world.session()
    assert await world.sessions.insert(fresh, guard, event("issue")) is not None
    assert await world.lives(fresh)


async def test_a_client_is_enabled_to_where_it_was(clients: ClientStore) -> None:
    await approved(clients)
    for collected, state in ((False, ClientState.APPROVED), (True, ClientState.ACTIVE)):
        if collected:
            assert await put(clients, secret("one"), "r1")
        await clients.set_enabled("billing-7f3a", False, event("client.disable"))
        assert (await get(clients)).state is ClientState.DISABLED
        await clients.set_enabled("billing-7f3a", True, event("client.enable"))
        assert (await get(clients)).state is state


@pytest.mark.parametrize("state", [ClientState.PENDING, ClientState.REJECTED])
@pytest.mark.parametrize("enabled", [True, False])
async def test_enabling_is_no_review(
    world: World, clients: ClientStore, state: ClientState, enabled: bool
) -> None:
    await clients.insert(client(state=state), event("client.register"))
    with pytest.raises(TokenServiceError) as refused:
        await clients.set_enabled("billing-7f3a", enabled, event("client.switch"))
    assert refused.value.reason is Reason.CLIENT_STATE
    assert (await get(clients)).state is state
    assert await actions(world) == ["client.register"]


async def test_what_is_so_already_is_neither_told_nor_audited(
    world: World, clients: ClientStore
) -> None:
    assert await clients.set_enabled("nobody", False, event("client.disable")) is None
    assert await clients.update_policy("no", POLICY, narrowed=True, audit=event("no")) is None
    await clients.set_enabled("shop", True, event("client.enable"))
    first = await clients.set_enabled("shop", False, event("client.disable"))
    version = await config_version(world)
    assert await clients.set_enabled("shop", False, event("client.disable")) == first
    assert await config_version(world) == version
    assert await actions(world) == ["client.disable"]


async def test_logins_that_race_a_disable_leave_nothing_usable(
    databases: list[Database], world: World, clients: ClientStore
) -> None:
    sessions = [world.session() if n % 2 else world.own_session() for n in range(40)]
    guard = world.guard()
    logins = [world.sessions.insert(one, guard, event("issue")) for one in sessions]
    disable = ClientStore(databases[1]).set_enabled("shop", False, event("client.disable"))
    outcomes = await asyncio.gather(*logins[:20], disable, *logins[20:], return_exceptions=True)
    assert not [one for one in outcomes if isinstance(one, BaseException)]
    for session in sessions:
        if await world.sessions.get(session.session_id) is not None:
            assert not await world.lives(session)


async def test_a_login_that_commits_while_the_disable_waits_dies_of_it(
    databases: list[Database], world: World, clients: ClientStore
) -> None:
    session = world.session()
    async with holding(databases[1], "SELECT FROM trust_head FOR UPDATE"):
        task = asyncio.create_task(clients.set_enabled("shop", False, event("client.disable")))
        await until_blocked(databases[1])
        assert await world.sessions.insert(session, world.guard(), event("issue")) is not None
    await task
    assert not await world.lives(session)
