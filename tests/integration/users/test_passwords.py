"""Passwords are changed by their users, reset by administrators, and kept nowhere."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from tests.integration.users.people import NEW_PASSWORD, logs_in
from tests.support.node import ADMIN, PASSWORD, Node
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.domain.users.user import User
from token_service.usecases.sessions.exchange import ExchangeRequest
from token_service.usecases.users.set_password import SetPassword
from tokenservice.core import Verdict


async def test_no_password_is_kept_anywhere(node: Node, shop: Caller, alice: User) -> None:
    await node.login(shop, "alice")
    rows = await node.database.fetch(
        """SELECT u::text FROM users u UNION ALL SELECT a::text FROM audit_log a
           UNION ALL SELECT s::text FROM sessions s UNION ALL SELECT t::text FROM attempts t"""
    )
    assert rows
    assert not any(PASSWORD in row[0] for row in rows)


async def test_a_user_who_changes_the_password_keeps_this_session_only(
    node: Node, shop: Caller, alice: User, set_password: SetPassword
) -> None:
    other = await node.app("phone")
    kept, *lost = [await node.login(shop, "alice"), await node.login(shop, "alice")]
    lost.append(await node.login(other, "alice"))

    changed = await set_password.by_user(shop, kept.session_token, NEW_PASSWORD)
    assert changed.user.credential_version == 2
    assert node.parts.trust.state.revision >= changed.revision
    assert await node.exchanges(shop, kept)
    assert not await node.exchanges(shop, lost[0])
    assert not await node.exchanges(other, lost[1])
    for tokens in (kept, *lost):
        assert await node.verdict(tokens) is not Verdict.ACTIVE
    assert not await logs_in(node, shop, PASSWORD)
    assert await logs_in(node, shop, NEW_PASSWORD)
    assert await node.audited("user.set_password") == 1


async def test_the_presented_token_is_checked_and_not_consumed(
    node: Node, shop: Caller, alice: User, set_password: SetPassword
) -> None:
    tokens = await node.login(shop, "alice")
    successor = await node.usecases.sessions.exchange(
        shop, ExchangeRequest(token=tokens.session_token)
    )
    with pytest.raises(TokenServiceError) as refused:
        await set_password.by_user(shop, tokens.session_token, NEW_PASSWORD)
    assert refused.value.reason is Reason.TOKEN_SUPERSEDED
    thief = await node.app("thief")
    with pytest.raises(TokenServiceError) as refused:
        await set_password.by_user(thief, successor.tokens.session_token, NEW_PASSWORD)
    assert refused.value.reason is Reason.CLIENT_MISMATCH
    with pytest.raises(TokenServiceError) as refused:
        await set_password.by_user(shop, "tsk_web_forged", NEW_PASSWORD)
    assert refused.value.reason is Reason.TOKEN_MALFORMED
    access = successor.tokens.access_tokens[0].token
    with pytest.raises(TokenServiceError) as refused:
        await set_password.by_user(shop, access, NEW_PASSWORD)
    assert refused.value.reason is Reason.TOKEN_MALFORMED
    assert await logs_in(node, shop, PASSWORD)
    await set_password.by_user(shop, successor.tokens.session_token, NEW_PASSWORD)
    assert await node.exchanges(shop, successor.tokens)


async def test_an_old_login_must_step_up_first(
    node: Node, shop: Caller, alice: User, set_password: SetPassword
) -> None:
    tokens = await node.login(shop, "alice")
    node.clock.move(timedelta(minutes=10, seconds=1))
    with pytest.raises(TokenServiceError) as refused:
        await set_password.by_user(shop, tokens.session_token, NEW_PASSWORD)
    assert refused.value.reason is Reason.STEP_UP_REQUIRED
    exchanged = await node.usecases.sessions.exchange(
        shop, ExchangeRequest(token=tokens.session_token)
    )
    with pytest.raises(TokenServiceError) as refused:
        await set_password.by_user(shop, exchanged.tokens.session_token, NEW_PASSWORD)
    assert refused.value.reason is Reason.STEP_UP_REQUIRED


async def test_a_session_without_a_user_has_no_password(
    node: Node, shop: Caller, set_password: SetPassword
) -> None:
    tokens = await node.own_session(shop)
    with pytest.raises(TokenServiceError) as refused:
        await set_password.by_user(shop, tokens.session_token, NEW_PASSWORD)
    assert refused.value.reason is Reason.CREDENTIAL_NOT_ALLOWED


async def test_an_administrator_ends_all_sessions(
    node: Node, shop: Caller, alice: User, set_password: SetPassword
) -> None:
    tokens = await node.login(shop, "alice")
    await set_password.by_administrator(ADMIN, alice.user_id, NEW_PASSWORD)
    assert await node.verdict(tokens) is Verdict.REVOKED
    assert not await node.exchanges(shop, tokens)
    assert not await logs_in(node, shop, PASSWORD)
    assert await logs_in(node, shop, NEW_PASSWORD)
    with pytest.raises(TokenServiceError) as refused:
        await set_password.by_administrator(ADMIN, uuid4(), NEW_PASSWORD)
    assert refused.value.reason is Reason.USER_NOT_FOUND


class Meanwhile:
    """Hashes passwords, and lets something happen while it does."""

    def __init__(self, node: Node, user_id: UUID) -> None:
        self._node = node
        self._user_id = user_id
        self.happens = asyncio.Event()

    async def hash(self, password: str) -> str:
        if not self.happens.is_set():
            self.happens.set()
            reset = self._node.usecases.users.set_password
            await reset.by_administrator(ADMIN, self._user_id, NEW_PASSWORD)
        return await self._node.parts.hasher.hash(password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        return await self._node.parts.hasher.verify(password, password_hash)

    def outdated(self, password_hash: str) -> bool:
        return self._node.parts.hasher.outdated(password_hash)


async def test_a_thief_s_change_loses_to_a_reset_that_came_first(
    node: Node, shop: Caller, alice: User
) -> None:
    stolen = await node.login(shop, "alice")
    hasher = Meanwhile(node, alice.user_id)
    slow = node.but(hasher=hasher).usecases.users.set_password
    with pytest.raises(TokenServiceError) as refused:
        await slow.by_user(shop, stolen.session_token, "the thief's own choice")
    assert hasher.happens.is_set()
    assert refused.value.reason is Reason.TOKEN_REVOKED
    assert await logs_in(node, shop, NEW_PASSWORD)
    assert not await logs_in(node, shop, "the thief's own choice")
    assert not await node.exchanges(shop, stolen)


async def test_the_store_itself_refuses_a_change_from_a_dead_session(
    node: Node, shop: Caller, alice: User, set_password: SetPassword
) -> None:
    tokens = await node.login(shop, "alice")
    await set_password.by_administrator(ADMIN, alice.user_id, NEW_PASSWORD)
    changed = await node.parts.users.set_password(
        alice.user_id,
        "the thief's hash",
        keep_session=tokens.session.session_id,
        audit=shop.audit(node.clock.now(), "user.set_password"),
    )
    assert changed is None
    assert await logs_in(node, shop, NEW_PASSWORD)
    assert not await node.exchanges(shop, tokens)
