"""Clients: their states, their secrets, and what nodes and validators hear of changes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.integration.postgres_world import (
    NOW,
    POLICY,
    World,
    event,
    holding,
    make_world,
    until_blocked,
)
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.adapters.postgres.pool import Database
from token_service.domain.clients.client import Client, ClientSecret
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import (
    ClientState,
    Permission,
    RevocationReason,
    TokenScheme,
    TrustEffect,
    TrustEntryKind,
)
from token_service.domain.sessions.exchange import require_live
from token_service.domain.sessions.session import Session

LATER = NOW + timedelta(hours=1)
OVERLAP = LATER + timedelta(hours=24)
WIDE = replace(
    POLICY,
    permissions=frozenset({Permission.TOKENS_ISSUE}),
    may_issue_for=frozenset({"shop"}),
    access_lifetime=timedelta(minutes=20),
)


@pytest.fixture
async def databases(dsn: str) -> AsyncIterator[list[Database]]:
    """Two nodes."""
    async with AsyncExitStack() as stack:
        nodes = [await Database.open(dsn, size=8, call_timeout=30) for _ in range(2)]
        for node in nodes:
            stack.push_async_callback(node.close)
        yield nodes


@pytest.fixture
async def world(databases: list[Database]) -> World:
    return await make_world(databases[0])


@pytest.fixture
def clients(world: World) -> ClientStore:
    return ClientStore(world.database)


def client(**changes: Any) -> Client:
    """A registration."""
    given = Client(
        client_id="billing-7f3a",
        name="Billing",
        contact="billing@example.com",
        state=ClientState.PENDING,
        policy=WIDE,
        valid_rev=0,
        registered_by="ops",
        reviewed_by="",
        review_note="",
        created_at=NOW,
        updated_at=NOW,
        registration_hash=b"registration hash",
        registration_pepper="0badcafe",
    )
    return replace(given, **changes)


def secret(name: str, **changes: Any) -> ClientSecret:
    return replace(ClientSecret(name.encode(), "0badcafe", NOW, None, None), **changes)


async def put(
    clients: ClientStore,
    one: ClientSecret,
    request: str,
    old_expires_at: datetime | None = None,
    client_id: str = "billing-7f3a",
    at: datetime = LATER,
) -> bool:
    audit = replace(event("client.put_secret", client_id), at=at)
    return await clients.put_secret(
        client_id, one, request.encode(), old_expires_at=old_expires_at, audit=audit
    )


async def approved(clients: ClientStore, **changes: Any) -> str:
    """A client that was approved just now."""
    one = client(**changes)
    assert await clients.insert(one, event("client.register"))
    audit = replace(event("client.review"), actor="reviewer")
    assert await clients.review(one.client_id, ClientState.APPROVED, None, "fine", audit)
    return one.client_id


async def get(clients: ClientStore, client_id: str = "billing-7f3a") -> Client:
    found = await clients.get(client_id)
    assert found is not None
    return found[0]


async def names(clients: ClientStore) -> set[bytes]:
    return {one.secret_hash for one in (await get(clients)).secrets}


async def config_version(world: World) -> int:
    return int(await world.value("SELECT config_version FROM trust_head"))


async def longest_access(world: World) -> timedelta:
    longest: timedelta = await world.value("SELECT longest_access FROM trust_head")
    return longest


async def entries(world: World) -> list[Sequence[object]]:
    rows = await world.database.fetch(
        "SELECT revision, kind, id, effect, reason FROM trust_log ORDER BY revision"
    )
    return [tuple(row) for row in rows]


async def actions(world: World) -> list[str]:
    rows = await world.database.fetch("SELECT action FROM audit_log ORDER BY id")
    return [row["action"] for row in rows if row["action"] != "issue"]


async def lives(world: World, session: Session) -> bool:
    view = await world.sessions.view(session.lookup_id)
    assert view is not None
    try:
        require_live(view, NOW)
    except TokenServiceError:
        return False
    return True


# --- registration and review ------------------------------------------------------------------


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
        await until_blocked(databases[1])
    assert await task is False
    assert (await get(clients)).state is ClientState.REJECTED


# --- secrets ----------------------------------------------------------------------------------


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
    async with holding(databases[1], lock):
        collecting = asyncio.create_task(put(clients, secret("two"), "r2"))
        await until_blocked(databases[1])
        using = asyncio.create_task(clients.mark_used("billing-7f3a", b"one", LATER))
        await until_blocked(databases[1], 2)
    assert await collecting
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


# --- policy and state -------------------------------------------------------------------------


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
    assert await lives(world, session)


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
    assert [await lives(world, session) for session in sessions] == [False, False]
    assert await config_version(world) == before + 2
    guard = world.guard(config_version=before + 2)
    fresh = world.session()
    assert await world.sessions.insert(fresh, guard, event("issue")) is not None
    assert await lives(world, fresh)


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
            assert not await lives(world, session)


async def test_a_login_that_commits_while_the_disable_waits_dies_of_it(
    databases: list[Database], world: World, clients: ClientStore
) -> None:
    session = world.session()
    async with holding(databases[1], "SELECT FROM trust_head FOR UPDATE"):
        task = asyncio.create_task(clients.set_enabled("shop", False, event("client.disable")))
        await until_blocked(databases[1])
        assert await world.sessions.insert(session, world.guard(), event("issue")) is not None
    await task
    assert not await lives(world, session)
