"""Users: what each change leaves alive, and what it tells the trust log."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.postgres_world import NOW, World, event, make_world, revocation
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust.revocations import RevocationStore
from token_service.adapters.postgres.users.store import UserStore
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import RevocationReason, TrustEffect, TrustEntryKind
from token_service.domain.sessions.exchange import require_live
from token_service.domain.sessions.session import Session
from token_service.domain.users.user import User

LATER = NOW + timedelta(minutes=1)
HASH = "$argon2id$v=19$m=19456,t=2,p=1$none$none"


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(dsn, size=8, call_timeout=30)
    yield database
    await database.close()


@pytest.fixture
async def world(database: Database) -> World:
    return await make_world(database)


@pytest.fixture
def users(database: Database) -> UserStore:
    return UserStore(database)


def new_user(**changes: Any) -> User:
    given = User(
        user_id=uuid4(),
        username="ada",
        password_hash=HASH,
        credential_version=1,
        roles=("clerk", "customer"),
        scopes=frozenset(),
        version=1,
        disabled_at=None,
        valid_rev=0,
        created_at=NOW,
        updated_at=NOW,
    )
    return replace(given, **changes)


async def lives(world: World, session: Session) -> bool:
    view = await world.sessions.view(session.lookup_id)
    assert view is not None
    try:
        require_live(view, NOW)
    except TokenServiceError:
        return False
    return True


async def entries(world: World) -> list[tuple[int, TrustEntryKind, str, TrustEffect, int]]:
    rows = await world.database.fetch(
        "SELECT revision, kind, id, effect, reason FROM trust_log ORDER BY revision"
    )
    return [
        (row["revision"], TrustEntryKind(row["kind"]), row["id"], row["effect"], row["reason"])
        for row in rows
    ]


async def actions(world: World) -> list[str]:
    rows = await world.database.fetch("SELECT action FROM audit_log ORDER BY id")
    return [row["action"] for row in rows if row["action"] != "issue"]


async def config_version(world: World) -> int:
    return int(await world.value("SELECT config_version FROM trust_head"))


async def test_a_user_comes_back_as_it_was_put_with_what_the_roles_map_to(
    world: World, users: UserStore
) -> None:
    user = new_user()
    assert await users.insert(user, event("user.create"))
    scopes = frozenset({"orders.read", "orders.write", "orders.refund"})
    assert await users.get(user.user_id) == replace(user, scopes=scopes)
    found = await users.by_username("ada")
    assert found == (replace(user, scopes=scopes), await config_version(world))
    assert HASH not in repr(found)
    assert await actions(world) == ["user.create"]


async def test_who_is_not_there_is_not_found(world: World, users: UserStore) -> None:
    nobody = uuid4()
    assert await users.get(nobody) is None
    assert await users.by_username("nobody") is None
    audit = event("user.change")
    assert await users.set_password(nobody, HASH, keep_session=None, audit=audit) is None
    assert await users.set_enabled(nobody, False, audit) is None
    assert await users.set_roles(nobody, ["customer"], audit) is None
    assert await users.delete(nobody, audit) is None
    assert await entries(world) == []
    assert await actions(world) == []


async def test_a_name_is_given_once(world: World, users: UserStore) -> None:
    assert await users.insert(new_user(), event("user.create"))
    assert not await users.insert(new_user(), event("user.create"))
    assert await actions(world) == ["user.create"]


async def test_an_unknown_role_creates_nobody(world: World, users: UserStore) -> None:
    with pytest.raises(TokenServiceError) as refused:
        await users.insert(new_user(roles=("customer", "emperor")), event("user.create"))
    assert refused.value.reason is Reason.ROLE_NOT_FOUND
    assert await users.by_username("ada") is None
    assert await actions(world) == []


async def test_pages_hold_everyone_once_in_the_order_of_names(
    world: World, users: UserStore
) -> None:
    names = ["zoë", "ada", "émile", "bob", "li"]
    for name in names:
        await users.insert(new_user(username=name, roles=()), event("user.create"))
    seen: list[str] = []
    token = ""
    while True:
        page, token = await users.page(2, token)
        assert 1 <= len(page) <= 2
        seen += [user.username for user in page]
        if not token:
            break
    everyone = await world.database.fetch("SELECT username FROM users")
    assert seen == sorted((row["username"] for row in everyone), key=str.encode)


@pytest.mark.parametrize("token", ["*", "abc", "/w==", "AA==", "QQ==\n", "A" * 2000])
async def test_a_page_token_that_is_none_is_refused(users: UserStore, token: str) -> None:
    with pytest.raises(TokenServiceError) as refused:
        await users.page(10, token)
    assert (refused.value.reason, refused.value.field) == (Reason.FIELD_INVALID, "page_token")


async def test_a_new_password_ends_every_session_but_the_one_kept(
    world: World, users: UserStore
) -> None:
    kept, other, foreign = (
        await world.issue(),
        await world.issue(),
        await world.issue(world.own_session()),
    )
    audit = event("user.set_password")
    revision = await users.set_password(
        world.user_id, "new hash", keep_session=kept.session_id, audit=audit
    )
    assert revision == 1
    assert await lives(world, kept)
    assert not await lives(world, other)
    assert await lives(world, foreign)
    stored = await world.sessions.get(kept.session_id)
    assert stored == replace(kept, rev=revision)
    user = await users.get(world.user_id)
    assert user is not None
    assert (user.password_hash, user.credential_version, user.version) == ("new hash", 2, 2)
    assert user.valid_rev == revision
    assert await entries(world) == [
        (
            1,
            TrustEntryKind.SUBJECT,
            str(world.user_id),
            TrustEffect.REVOKE,
            RevocationReason.PASSWORD_CHANGED,
        )
    ]
    assert await actions(world) == ["user.set_password"]


async def test_an_administrators_new_password_ends_every_session(
    world: World, users: UserStore
) -> None:
    session = await world.issue()
    audit = event("user.set_password")
    assert await users.set_password(world.user_id, "new", keep_session=None, audit=audit) == 1
    assert not await lives(world, session)


async def test_the_kept_session_survives_the_next_change_too(
    world: World, users: UserStore
) -> None:
    kept = await world.issue()
    for n in (1, 2):
        audit = event("user.set_password")
        assert (
            await users.set_password(
                world.user_id, f"new {n}", keep_session=kept.session_id, audit=audit
            )
            == n
        )
    assert await lives(world, kept)


@pytest.mark.parametrize(
    "kind",
    [
        TrustEntryKind.SESSION,
        TrustEntryKind.SUBJECT,
        TrustEntryKind.SUBJECT_DEVICE,
        TrustEntryKind.CLIENT,
        TrustEntryKind.EVERYTHING,
        TrustEntryKind.KEY,
    ],
)
async def test_a_session_that_is_dead_is_not_kept_and_changes_no_password(
    world: World, users: UserStore, kind: TrustEntryKind
) -> None:
    """Its `rev` would move above the revocation that killed it."""
    session = await world.issue()
    id_of = {
        TrustEntryKind.SESSION: session.session_id,
        TrustEntryKind.CLIENT: session.client_id,
        TrustEntryKind.EVERYTHING: "",
        TrustEntryKind.KEY: session.mint_kid,
    }
    on_device = kind is TrustEntryKind.SUBJECT_DEVICE
    kill = revocation(
        kind,
        id_of.get(kind, session.subject),
        device_id=session.device.device_id if on_device else "",
    )
    revocations = RevocationStore(world.database)
    await revocations.revoke(kill, NOW)
    await revocations.close()
    audit = event("user.set_password")
    changed = await users.set_password(
        world.user_id, "new hash", keep_session=session.session_id, audit=audit
    )
    assert changed is None
    assert not await lives(world, session)
    user = await users.get(world.user_id)
    assert user is not None
    assert (user.password_hash, user.credential_version) == ("none", 1)
    assert "user.set_password" not in await actions(world)
    assert len(await entries(world)) == 1


async def test_neither_a_strangers_session_nor_an_expired_one_is_kept(
    world: World, users: UserStore
) -> None:
    own = await world.issue(world.own_session())
    live = await world.issue()
    late = replace(event("user.set_password"), at=live.idle_expires_at)
    in_time = event("user.set_password")
    for session_id, audit in (
        (own.session_id, in_time),
        (uuid4(), in_time),
        (live.session_id, late),
    ):
        assert (
            await users.set_password(
                world.user_id, "new hash", keep_session=session_id, audit=audit
            )
            is None
        )
    assert await entries(world) == []
    assert await lives(world, live)


async def test_a_stronger_hash_of_the_same_password_changes_nothing_else(
    world: World, users: UserStore
) -> None:
    session = await world.issue()
    before = await users.get(world.user_id)
    assert before is not None
    await users.rehash(world.user_id, "none", "stronger")
    await users.rehash(world.user_id, "none", "too late")
    assert await users.get(world.user_id) == replace(before, password_hash="stronger")
    assert await lives(world, session)
    assert await entries(world) == []


async def test_a_disabled_user_has_nothing_left_and_gets_none_of_it_back(
    world: World, users: UserStore
) -> None:
    session = await world.issue()
    disable = replace(event("user.disable"), at=LATER)
    assert await users.set_enabled(world.user_id, False, disable) == 1
    user = await users.get(world.user_id)
    assert user is not None
    assert (user.disabled_at, user.version, user.valid_rev) == (LATER, 2, 1)
    assert not await lives(world, session)
    assert await world.sessions.insert(world.session(), world.guard(), event("issue")) is None
    assert await users.set_enabled(world.user_id, True, event("user.enable")) == 1
    assert not await lives(world, session)
    user = await users.get(world.user_id)
    assert user is not None
    assert (user.disabled_at, user.version) == (None, 3)
    guard = world.guard(user_version=3)
    fresh = world.session()
    assert await world.sessions.insert(fresh, guard, event("issue")) is not None
    assert await lives(world, fresh)
    subject = str(world.user_id)
    assert await entries(world) == [
        (1, TrustEntryKind.SUBJECT, subject, TrustEffect.REVOKE, RevocationReason.USER_DISABLED)
    ]
    assert await actions(world) == ["user.disable", "user.enable"]


async def test_what_is_so_already_is_neither_told_nor_audited(
    world: World, users: UserStore
) -> None:
    assert await users.set_enabled(world.user_id, True, event("user.enable")) == 0
    assert await users.set_enabled(world.user_id, False, event("user.disable")) == 1
    assert await users.set_enabled(world.user_id, False, event("user.disable")) == 1
    assert await users.set_roles(world.user_id, ["customer"], event("user.set_roles")) == 1
    before = await config_version(world)
    same = ["orders.write", "orders.read"]
    assert await users.define_role("customer", same, event("role.define")) == 1
    assert await config_version(world) == before
    assert await actions(world) == ["user.disable"]


async def test_a_deleted_user_is_gone_with_everything(world: World, users: UserStore) -> None:
    session = await world.issue()
    assert await users.delete(world.user_id, event("user.delete")) == 1
    assert await users.get(world.user_id) is None
    assert not await lives(world, session)
    assert await world.sessions.insert(world.session(), world.guard(), event("issue")) is None
    assert [entry[1:4] for entry in await entries(world)] == [
        (TrustEntryKind.SUBJECT, str(world.user_id), TrustEffect.REVOKE)
    ]
    assert await actions(world) == ["user.delete"]


async def test_losing_a_role_reissues_and_spares_the_session(
    world: World, users: UserStore
) -> None:
    session = await world.issue()
    assert await users.set_roles(world.user_id, ["clerk"], event("user.set_roles")) == 1
    user = await users.get(world.user_id)
    assert user is not None
    assert (user.roles, user.version, user.valid_rev) == (("clerk",), 2, 0)
    assert user.scopes == {"orders.write", "orders.refund"}
    assert await lives(world, session)
    subject = str(world.user_id)
    assert await entries(world) == [
        (1, TrustEntryKind.SUBJECT, subject, TrustEffect.REISSUE, RevocationReason.POLICY_NARROWED)
    ]


async def test_gaining_a_role_tells_nobody(world: World, users: UserStore) -> None:
    wanted = ["customer", "clerk", "customer"]
    assert await users.set_roles(world.user_id, wanted, event("user.set_roles")) == 0
    user = await users.get(world.user_id)
    assert user is not None
    assert (user.roles, user.version) == (("clerk", "customer"), 2)
    assert await entries(world) == []
    assert await actions(world) == ["user.set_roles"]


async def test_an_unknown_role_is_not_given(world: World, users: UserStore) -> None:
    before = await users.get(world.user_id)
    with pytest.raises(TokenServiceError) as refused:
        await users.set_roles(world.user_id, ["customer", "emperor"], event("user.set_roles"))
    assert refused.value.reason is Reason.ROLE_NOT_FOUND
    assert await users.get(world.user_id) == before
    assert await actions(world) == []


async def test_a_role_that_loses_a_scope_reissues_everything(
    world: World, users: UserStore
) -> None:
    session = await world.issue()
    before = await config_version(world)
    assert await users.define_role("customer", ["orders.read"], event("role.define")) == 1
    assert await config_version(world) == before + 1
    assert await entries(world) == [
        (1, TrustEntryKind.EVERYTHING, "", TrustEffect.REISSUE, RevocationReason.POLICY_NARROWED)
    ]
    assert await lives(world, session)
    assert await world.value("SELECT valid_rev FROM trust_head") == 0
    user = await users.get(world.user_id)
    assert user is not None
    assert user.scopes == {"orders.read"}


async def test_a_new_or_wider_role_reissues_nothing(world: World, users: UserStore) -> None:
    before = await config_version(world)
    wider = ["orders.read", "orders.write", "orders.cancel"]
    assert await users.define_role("customer", wider, event("role.define")) == 0
    assert await users.define_role("auditor", [], event("role.define")) == 0
    assert await users.roles() == {
        "auditor": (),
        "clerk": ("orders.write", "orders.refund"),
        "customer": ("orders.cancel", "orders.read", "orders.write"),
    }
    assert await config_version(world) == before + 2
    assert await entries(world) == []
    assert await actions(world) == ["role.define"] * 2
