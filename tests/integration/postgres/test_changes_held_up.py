"""Changes that cannot be written now: of rows that somebody else holds, and on another server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.integration.clients.rows import secret
from tests.integration.pairing.test_store import pairing
from tests.integration.postgres_world import (
    NOW,
    POLICY,
    World,
    add_client,
    add_key,
    add_user,
    event,
    holding,
    make_world,
)
from tests.support.waiting import patience
from token_service.adapters.postgres.clients.store import ClientStore
from token_service.adapters.postgres.codes.store import CodeStore
from token_service.adapters.postgres.keys.store import KeyStore
from token_service.adapters.postgres.login.attempts import Attempts
from token_service.adapters.postgres.pairing.store import PairingStore
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.users.store import UserStore
from token_service.domain.codes.decision import Code, Presented
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.keys.key import Key
from token_service.domain.kinds import CodeKind, KeyPurpose, KeyState, PairingState
from token_service.domain.ports import AttemptBucket, KeyChange, PairingMove

DAY = timedelta(days=1)
MANY = 12
"""More than a pool has connections."""

Change = Callable[[World, str], Awaitable[object]]


def numbered(number: int) -> UUID:
    return UUID(int=number)


def users(world: World) -> UserStore:
    return UserStore(world.database)


def clients(world: World) -> ClientStore:
    return ClientStore(world.database)


def key(kid: str) -> Key:
    return Key(
        kid=kid,
        purpose=KeyPurpose.MINT,
        algorithm="HMAC",
        state=KeyState.ACTIVE,
        secret_key_id="test",
        public_key=b"",
        sealed_private=b"",
        created_at=NOW,
        activates_at=NOW,
        retires_at=None,
        compromised_at=None,
    )


def code(name: str) -> Code:
    return Code(
        code_id=UUID(name),
        client_id="shop",
        kind=CodeKind.COUPON,
        purpose="signup",
        recipient="",
        subject="",
        max_uses=1000,
        length=10,
        alphabet="0",
        payload=b"",
        created_at=NOW,
        not_before=NOW,
        expires_at=NOW + DAY,
        code_hash=name.encode(),
        pepper_id="test",
        request_id="",
        request_hash=b"",
    )


async def set_own_password(world: World, name: str) -> object:
    """The session is the user's own, with the same id."""
    one = UUID(name)
    return await users(world).set_password(one, "new", keep_session=one, audit=event("x"))


OF_USERS: dict[str, Change] = {
    "disable": lambda w, n: users(w).set_enabled(UUID(n), False, event("x")),
    "delete": lambda w, n: users(w).delete(UUID(n), event("x")),
    "set_password": lambda w, n: users(w).set_password(
        UUID(n), "new", keep_session=None, audit=event("x")
    ),
    "set_own_password": set_own_password,
    "narrow_roles": lambda w, n: users(w).set_roles(UUID(n), (), event("x")),
}
OF_CLIENTS: dict[str, Change] = {
    "disable": lambda w, n: clients(w).set_enabled(n, False, event("x")),
    "narrow": lambda w, n: clients(w).update_policy(
        n, replace(POLICY, scopes=frozenset[str]()), narrowed=True, audit=event("x")
    ),
    "rotate": lambda w, n: clients(w).put_secret(
        n, secret(n), n.encode(), old_expires_at=NOW, audit=event("x")
    ),
}
OF_KEYS: dict[str, Change] = {
    "retire": lambda w, n: KeyStore(w.database).change(
        [KeyChange(n, KeyState.ACTIVE, KeyState.RETIRING)], event("x")
    ),
}


def bucket(name: str) -> AttemptBucket:
    return AttemptBucket(key=name.encode(), limit=1000, window=DAY, lock=DAY)


async def count(world: World, name: str) -> bool:
    return await Attempts(world.database).reserve([bucket(name)], NOW) is None


async def redeem(world: World, name: str) -> bool:
    presented = Presented(
        client_id="shop",
        purpose="signup",
        recipient="",
        redeemer="",
        request_id="",
        hashes=(name.encode(),),
    )
    answer = await CodeStore(world.database).redeem(presented, [], NOW, event("x"))
    return answer.redeemed is not None


async def deny(world: World, name: str) -> bool:
    change = PairingMove(
        pairing_id=UUID(name),
        from_state=PairingState.SCANNED,
        from_wrong_numbers=0,
        state=PairingState.DENIED,
        wrong_numbers=0,
        ends_at=NOW,
        at=NOW,
    )
    return await PairingStore(world.database).move(change, event("x"))


def done(change: Awaitable[None]) -> Awaitable[bool]:
    async def wait() -> bool:
        await change
        return True

    return wait()


OF_BUCKETS: dict[str, Change] = {
    "count": count,
    "clear": lambda w, n: done(Attempts(w.database).clear([bucket(n)])),
    "unlock": lambda w, n: done(Attempts(w.database).unlock(n.encode(), event("x"))),
}
OF_CODES: dict[str, Change] = {
    "redeem": redeem,
    "revoke": lambda w, n: CodeStore(w.database).revoke("shop", UUID(n), event("x")),
}
KINDS: dict[str, tuple[str, dict[str, Change]]] = {
    "users": ("SELECT FROM users WHERE user_id::text = $1 FOR UPDATE", OF_USERS),
    "clients": ("SELECT FROM clients WHERE client_id = $1 FOR UPDATE", OF_CLIENTS),
    "attempts": ("SELECT FROM attempts WHERE encode(bucket, 'escape') = $1 FOR UPDATE", OF_BUCKETS),
    "codes": ("SELECT FROM codes WHERE code_id::text = $1 FOR UPDATE", OF_CODES),
    "pairings": ("SELECT FROM pairings WHERE pairing_id::text = $1 FOR UPDATE", {"deny": deny}),
    "keys": ("SELECT FROM keys WHERE kid = $1 FOR UPDATE", OF_KEYS),
}
APPENDING = ("users", "clients", "keys")
EACH = [(kind, name) for kind, (_, changes) in KINDS.items() for name in changes]


@pytest.fixture
async def world(dsn: str) -> AsyncIterator[World]:
    database = await Database.open(dsn, size=4, call_timeout=3)
    world = await make_world(database)
    for number in range(3):
        name = str(numbered(number))
        await add_user(world, numbered(number))
        await add_client(world, name)
        await add_key(world, name)
        assert await count(world, name)
        assert await CodeStore(database).insert(code(name), event("x"))
        one = pairing(pairing_id=UUID(name), pepper_id=name)
        assert await PairingStore(database).insert(one, [], event("x"))
        await world.issue(world.session(session_id=numbered(number), user_id=numbered(number)))
    yield world
    await database.close()


@pytest.fixture
async def elsewhere(dsn: str) -> AsyncIterator[Database]:
    """An administrator's connection."""
    database = await Database.open(dsn, size=2, call_timeout=60)
    yield database
    await database.close()


@pytest.mark.parametrize(("kind", "name"), EACH)
async def test_a_row_that_stays_locked_keeps_no_other_change_waiting(
    world: World, elsewhere: Database, kind: str, name: str
) -> None:
    lock, changes = KINDS[kind]
    change = changes[name]
    stuck, *others = (str(numbered(number)) for number in range(3))
    async with holding(elsewhere, lock, stuck), patience():
        waiting = [asyncio.ensure_future(change(world, stuck)) for _ in range(MANY)]
        await asyncio.sleep(0)
        for other in others:
            assert await change(world, other)
        assert not any(one.done() for one in waiting)
    done = await asyncio.gather(*waiting)
    assert any(done)


@pytest.mark.parametrize(("kind", "name"), [one for one in EACH if one[0] in APPENDING])
async def test_a_server_that_succeeded_another_is_not_written_to(
    world: World, kind: str, name: str
) -> None:
    one = str(numbered(0))
    await world.database.execute("UPDATE trust_head SET timeline = 4294967295")
    before = await content(world)
    with pytest.raises(TokenServiceError) as raised:
        await KINDS[kind][1][name](world, one)
    assert raised.value.reason is Reason.STORE_UNAVAILABLE
    assert await content(world) == before


async def test_no_key_is_added_there(world: World) -> None:
    await world.database.execute("UPDATE trust_head SET timeline = 4294967295")
    before = await content(world)
    with pytest.raises(TokenServiceError):
        await KeyStore(world.database).insert(key("new"), event("x"))
    assert await content(world) == before


async def content(world: World) -> list[Any]:
    """What such changes write."""
    tables = ("users", "clients", "client_secrets", "keys", "sessions", "trust_log", "audit_log")
    return [
        await world.value(f"SELECT array_agg(t::text ORDER BY t::text) FROM {table} t")  # noqa: S608
        for table in tables
    ]
