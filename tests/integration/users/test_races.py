"""Changes of users against logins, exchanges and each other, in every order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from tests.integration.postgres_world import (
    NOW,
    World,
    advance_of,
    event,
    holding,
    make_world,
    revocation,
    until_asked,
    until_blocked,
)
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.sessions.store import SessionStore
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.adapters.postgres.users.store import UserStore
from token_service.domain.errors import TokenServiceError
from token_service.domain.kinds import TrustEntryKind
from token_service.domain.sessions.exchange import require_live
from token_service.domain.sessions.session import Session

Change = Callable[[UserStore, World], Awaitable[int | None]]


def set_password(users: UserStore, world: World) -> Awaitable[int | None]:
    audit = event("user.set_password")
    return users.set_password(world.user_id, "new hash", keep_session=None, audit=audit)


def disable(users: UserStore, world: World) -> Awaitable[int | None]:
    return users.set_enabled(world.user_id, False, event("user.disable"))


def delete(users: UserStore, world: World) -> Awaitable[int | None]:
    return users.delete(world.user_id, event("user.delete"))


ENDINGS: list[Change] = [set_password, disable, delete]


@pytest.fixture
async def nodes(dsn: str) -> AsyncIterator[list[Database]]:
    async with AsyncExitStack() as stack:
        nodes = [await Database.open(dsn, size=16, call_timeout=30) for _ in range(2)]
        for node in nodes:
            stack.push_async_callback(node.close)
        yield nodes


@pytest.fixture
async def world(nodes: list[Database]) -> World:
    return await make_world(nodes[0])


async def lives(world: World, session: Session) -> bool:
    view = await world.sessions.view(session.lookup_id)
    assert view is not None
    try:
        require_live(view, NOW)
    except TokenServiceError:
        return False
    return True


@pytest.mark.parametrize("change", ENDINGS)
async def test_logins_that_race_it_leave_nothing_usable(
    nodes: list[Database], world: World, change: Change
) -> None:
    """Every login was decided on the user as it was before."""
    users = UserStore(nodes[1])
    stores = [SessionStore(node) for node in nodes]
    sessions = [world.session() for _ in range(40)]
    logins = [
        stores[n % 2].insert(session, world.guard(), event("issue"))
        for n, session in enumerate(sessions)
    ]
    middle = len(logins) // 2
    outcomes = await asyncio.gather(
        *logins[:middle], change(users, world), *logins[middle:], return_exceptions=True
    )
    assert not [one for one in outcomes if isinstance(one, BaseException)]
    assert outcomes[middle] == 1
    for session in sessions:
        if await world.sessions.get(session.session_id) is not None:
            assert not await lives(world, session)


@pytest.mark.parametrize("change", ENDINGS)
async def test_a_login_that_commits_while_it_waits_for_the_head_dies_of_it(
    nodes: list[Database], world: World, change: Change
) -> None:
    """The login's snapshot knows nothing of it, and its row is there when it commits."""
    session = world.session()
    async with holding(nodes[1], "SELECT FROM trust_head FOR UPDATE"):
        task = asyncio.ensure_future(change(UserStore(nodes[0]), world))
        await until_blocked(nodes[1])
        assert await world.sessions.insert(session, world.guard(), event("issue")) is not None
        assert await lives(world, session)
    assert await task == 1
    assert not await lives(world, session)


async def test_a_revocation_that_holds_the_head_first_takes_the_session_to_be_kept(
    nodes: list[Database], world: World
) -> None:
    """Only after the head's lock is it known which revisions are lower."""
    kept = await world.issue()
    lift = "UPDATE trust_head SET revision = 1, valid_rev = 1"
    async with holding(nodes[1], lift):
        task = asyncio.create_task(
            UserStore(nodes[0]).set_password(
                world.user_id,
                "new hash",
                keep_session=kept.session_id,
                audit=event("user.set_password"),
            )
        )
        await until_blocked(nodes[1])
    assert await task is None
    assert not await lives(world, kept)
    assert await world.value("SELECT credential_version FROM users") == 1


async def test_the_kept_session_goes_on_whatever_it_exchanges_meanwhile(
    nodes: list[Database], world: World
) -> None:
    kept = await world.issue()
    async with holding(nodes[1], "SELECT FROM trust_head FOR UPDATE"):
        change = asyncio.create_task(
            UserStore(nodes[0]).set_password(
                world.user_id,
                "new hash",
                keep_session=kept.session_id,
                audit=event("user.set_password"),
            )
        )
        await until_blocked(nodes[1])
        exchange = asyncio.create_task(world.sessions.advance(advance_of(kept), event("exchange")))
        await until_asked(nodes[1])
        assert not exchange.done()
    assert await change == 1
    # It gets the row once the change is committed, and is to be decided again. Where it had asked
    # just before, it has the revision of before, and its access tokens are dead.
    assert await exchange in (None, 0)
    # The session is alive either way.
    assert await lives(world, kept)
    stored = await world.sessions.get(kept.session_id)
    assert stored is not None
    assert stored.rev == 1
    following = replace(advance_of(stored), user_version=2)
    assert await world.sessions.advance(following, event("exchange")) == 1


async def test_everything_at_once_ends_in_order(nodes: list[Database], world: World) -> None:
    """Users, roles, revocations and exchanges from two nodes: no deadlock reaches a caller, and
    the log has no gap."""
    kept = await world.issue()
    users = [UserStore(node) for node in nodes]
    revocations = RevocationStore(nodes[0])
    work: list[Awaitable[object]] = []
    for n in range(12):
        store = users[n % 2]
        roles = [["customer"], ["clerk"], ["clerk", "customer"]][n % 3]
        scopes = [["orders.read"], ["orders.read", "orders.write"]][n % 2]
        work += [
            store.set_roles(world.user_id, roles, event("user.set_roles")),
            store.define_role("customer", scopes, event("role.define")),
            store.define_role(f"new-{n % 4}", scopes, event("role.define")),
            store.set_enabled(world.user_id, n % 2 == 0, event("user.set_enabled")),
            store.set_password(
                world.user_id,
                f"hash {n}",
                keep_session=kept.session_id if n % 2 else None,
                audit=event("user.set_password"),
            ),
            revocations.revoke(
                revocation(TrustEntryKind.SUBJECT, world.user_id if n % 2 else kept.client_id), NOW
            ),
            revocations.revoke(revocation(TrustEntryKind.SESSION, kept.session_id), NOW),
            world.sessions.advance(advance_of(kept), event("exchange")),
        ]
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    await revocations.close()
    assert not [one for one in outcomes if isinstance(one, BaseException)]
    rows = await nodes[0].fetch("SELECT revision FROM trust_log ORDER BY revision")
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert await world.value("SELECT revision FROM trust_head") == len(rows)
    assert not await lives(world, kept)
