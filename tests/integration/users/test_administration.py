"""Users, passwords and roles, on a real database."""

import asyncio
from dataclasses import replace

import pytest

from tests.integration.users.people import NEW_PASSWORD, attempt, logs_in
from tests.support.node import ADMIN, APP, PASSWORD, Node
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.kinds import Permission
from token_service.domain.users.user import User
from token_service.usecases.login.passwords import PasswordLimits
from token_service.usecases.sessions.exchange import ExchangeRequest
from token_service.usecases.tokens.token_set import IssuedTokens
from token_service.usecases.users.administration import CreateUser, NewUser, UserAdministration
from token_service.usecases.users.roles import RoleAdministration
from token_service.usecases.users.set_password import SetPassword
from tokenservice.core import Verdict


async def test_a_new_user_logs_in_at_once(node: Node, shop: Caller, alice: User) -> None:
    assert alice.username == "alice"
    tokens = await node.login(shop, "ALICE")
    assert tokens.session.user_id == alice.user_id
    assert tokens.session.scopes == ("orders.read", "orders.write")
    stored = await node.parts.users.get(alice.user_id)
    assert stored is not None
    assert stored.password_hash.startswith("$argon2id$")


async def test_a_name_is_taken_in_every_spelling(create: CreateUser, alice: User) -> None:
    outcomes = await asyncio.gather(
        create(ADMIN, NewUser("aLiCe", PASSWORD)),
        create(ADMIN, NewUser("\uff21lice", PASSWORD)),
        return_exceptions=True,
    )
    assert all(isinstance(one, TokenServiceError) for one in outcomes)
    assert {one.reason for one in outcomes if isinstance(one, TokenServiceError)} == {
        Reason.USER_EXISTS
    }


async def test_of_racers_for_a_name_one_gets_it(node: Node, create: CreateUser) -> None:
    outcomes = await asyncio.gather(
        *(create(ADMIN, NewUser("bob", PASSWORD)) for _ in range(6)), return_exceptions=True
    )
    made = [one for one in outcomes if isinstance(one, User)]
    assert len(made) == 1
    assert await node.audited("user.create") == 1


async def test_what_cannot_be_a_user_is_refused_before_the_store(
    node: Node, create: CreateUser
) -> None:
    for request, field in (
        (NewUser("two words", PASSWORD), "username"),
        (NewUser("bob", "short"), "password"),
    ):
        with pytest.raises(TokenServiceError) as refused:
            await create(ADMIN, request)
        assert refused.value.field == field
    with pytest.raises(TokenServiceError) as refused:
        await create(ADMIN, NewUser("bob", PASSWORD, ("no-such-role",)))
    assert refused.value.reason is Reason.ROLE_NOT_FOUND
    assert await node.parts.users.by_username("bob") is None


async def test_a_disabled_user_is_out_until_enabled(
    node: Node, shop: Caller, alice: User, users: UserAdministration
) -> None:
    tokens = await node.login(shop, "alice")
    disabled = await users.disable(ADMIN, alice.user_id, "left")
    assert disabled.user.disabled_at is not None
    assert await node.verdict(tokens) is Verdict.REVOKED
    assert not await node.exchanges(shop, tokens)
    assert not await logs_in(node, shop, PASSWORD)
    again = await users.disable(ADMIN, alice.user_id, "")
    assert again.revision == disabled.revision
    assert again.user.disabled_at == disabled.user.disabled_at

    enabled = await users.enable(ADMIN, alice.user_id, "back")
    assert enabled.user.disabled_at is None
    assert not await node.exchanges(shop, tokens)
    assert await logs_in(node, shop, PASSWORD)


async def test_a_deleted_user_is_gone_and_the_name_is_free(
    node: Node, shop: Caller, alice: User, users: UserAdministration, create: CreateUser
) -> None:
    tokens = await node.login(shop, "alice")
    deleted = await users.delete(ADMIN, alice.user_id, "asked for it")
    assert deleted.user.username == "alice"
    assert await node.verdict(tokens) is Verdict.REVOKED
    assert not await node.exchanges(shop, tokens)
    assert not await logs_in(node, shop, PASSWORD)
    for step in (
        users.get(ADMIN, alice.user_id),
        users.delete(ADMIN, alice.user_id, ""),
        users.disable(ADMIN, alice.user_id, ""),
        users.set_roles(ADMIN, alice.user_id, (), ""),
        users.unlock(ADMIN, alice.user_id, ""),
        users.get_by_name(ADMIN, "alice"),
    ):
        with pytest.raises(TokenServiceError) as refused:
            await step
        assert refused.value.reason is Reason.USER_NOT_FOUND
    successor = await create(ADMIN, NewUser("alice", PASSWORD, ("sales",)))
    assert successor.user_id != alice.user_id
    assert await node.verdict(tokens) is Verdict.REVOKED


async def scopes_after_exchange(node: Node, caller: Caller, tokens: IssuedTokens) -> set[str]:
    outcome = await node.usecases.sessions.exchange(
        caller, ExchangeRequest(token=tokens.session_token)
    )
    return set(outcome.tokens.access_tokens[0].scopes)


async def test_lost_roles_take_their_scopes_at_once(
    node: Node,
    shop: Caller,
    alice: User,
    users: UserAdministration,
    roles: RoleAdministration,
) -> None:
    await roles.define(ADMIN, "reader", ("orders.read",), "")
    tokens = await node.login(shop, "alice")
    changed = await users.set_roles(ADMIN, alice.user_id, ("reader", "reader"), "moved")
    assert changed.user.roles == ("reader",)
    assert await node.verdict(tokens) is Verdict.EXPIRED
    assert await scopes_after_exchange(node, shop, tokens) == {"orders.read"}
    with pytest.raises(TokenServiceError) as refused:
        await users.set_roles(ADMIN, alice.user_id, ("unheard-of",), "")
    assert refused.value.reason is Reason.ROLE_NOT_FOUND


async def test_a_narrowed_role_reissues_and_a_widened_one_does_not(
    node: Node, shop: Caller, alice: User, roles: RoleAdministration
) -> None:
    tokens = await node.login(shop, "alice")
    await roles.define(ADMIN, "sales", ("orders.read", "orders.write", "orders.refund"), "")
    await node.refresh()
    assert await node.verdict(tokens) is Verdict.ACTIVE
    narrowed = await roles.define(ADMIN, "sales", ("orders.read",), "")
    assert narrowed.role.scopes == ("orders.read",)
    assert await node.verdict(tokens) is Verdict.EXPIRED
    assert await scopes_after_exchange(node, shop, tokens) == {"orders.read"}


async def test_users_and_roles_are_listed_page_by_page(
    create: CreateUser, users: UserAdministration, roles: RoleAdministration, alice: User
) -> None:
    for name in ("bob", "carol"):
        await create(ADMIN, NewUser(name, PASSWORD))
        await roles.define(ADMIN, f"role-{name}", (), "")
    first, token = await users.page(ADMIN, 2, "")
    rest, end = await users.page(ADMIN, 2, token)
    assert [user.username for user in (*first, *rest)] == ["alice", "bob", "carol"]
    assert end == ""
    some, token = await roles.page(ADMIN, 2, "")
    more, end = await roles.page(ADMIN, 2, token)
    assert [role.name for role in (*some, *more)] == ["role-bob", "role-carol", "sales"]
    assert end == ""


async def test_an_unlocked_user_gets_in_from_the_address_that_was_locked(
    node: Node, alice: User, users: UserAdministration
) -> None:
    for _ in range(PasswordLimits().pair):
        assert await attempt(node, "a wrong password") is Reason.CREDENTIALS_INVALID
    assert await attempt(node, PASSWORD) is Reason.ACCOUNT_LOCKED
    unlocked = await users.unlock(ADMIN, alice.user_id, "called the desk")
    assert unlocked.user_id == alice.user_id
    assert await attempt(node, PASSWORD) is None
    assert await node.audited("user.unlock") == 1


async def test_a_host_is_locked_out_at_all_its_addresses(node: Node, alice: User) -> None:
    for n in range(PasswordLimits().pair):
        wrong = await attempt(node, "a wrong password", f"2001:db8::{n:x}")
        assert wrong is Reason.CREDENTIALS_INVALID
    assert await attempt(node, PASSWORD, "2001:db8::ffff") is Reason.ACCOUNT_LOCKED
    assert await attempt(node, PASSWORD, "2001:db8:0:1::1") is None


async def test_guesses_in_flight_together_do_not_give_away_the_right_one(
    node: Node, alice: User
) -> None:
    """They were let in before the lock, and are judged after it."""
    limit = PasswordLimits().pair
    wrong = [attempt(node, f"guess number {n}") for n in range(limit + 8)]
    answers = await asyncio.gather(*wrong)
    assert answers.count(Reason.CREDENTIALS_INVALID) == limit
    assert answers.count(Reason.ACCOUNT_LOCKED) == 8
    assert await attempt(node, PASSWORD) is Reason.ACCOUNT_LOCKED


async def test_unlocking_one_user_unlocks_nobody_else(
    node: Node, alice: User, users: UserAdministration, create: CreateUser
) -> None:
    bob = await create(ADMIN, NewUser("bob", PASSWORD))
    for _ in range(PasswordLimits().pair):
        assert await attempt(node, "a wrong password") is Reason.CREDENTIALS_INVALID
    await users.unlock(ADMIN, bob.user_id, "")
    assert await attempt(node, PASSWORD) is Reason.ACCOUNT_LOCKED


async def test_every_change_needs_its_permission(
    node: Node,
    create: CreateUser,
    users: UserAdministration,
    roles: RoleAdministration,
    set_password: SetPassword,
    alice: User,
) -> None:
    everything_else = frozenset(Permission) - {Permission.ADMIN_USERS}
    caller = Caller("shop", replace(APP, permissions=everything_else))
    user_id = alice.user_id
    calls = (
        create(caller, NewUser("bob", PASSWORD)),
        users.get(caller, user_id),
        users.get_by_name(caller, "alice"),
        users.page(caller, 50, ""),
        users.disable(caller, user_id, ""),
        users.enable(caller, user_id, ""),
        users.delete(caller, user_id, ""),
        users.set_roles(caller, user_id, (), ""),
        users.unlock(caller, user_id, ""),
        roles.define(caller, "sales", (), ""),
        roles.page(caller, 50, ""),
        set_password.by_administrator(caller, user_id, NEW_PASSWORD),
        set_password.by_user(Caller("shop"), "tsk_web_x", NEW_PASSWORD),
    )
    for call in calls:
        with pytest.raises(TokenServiceError) as refused:
            await call
        assert refused.value.reason is Reason.PERMISSION_MISSING
    assert (await node.parts.users.roles())["sales"] == ("orders.read", "orders.write")
    assert await node.parts.users.get(user_id) is not None
