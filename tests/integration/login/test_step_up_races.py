"""Reauthenticate, while something else moves the session: between its reading and its write."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.support.node import ADMIN, PASSWORD, Node, started
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError
from token_service.usecases.login.passwords import PasswordCredential
from token_service.usecases.login.reauthenticate import ReauthenticateRequest
from token_service.usecases.sessions.exchange import ExchangeOutcome, ExchangeRequest
from token_service.usecases.users.administration import NewUser

ONE, OTHER = bytes(range(16)), bytes(16)
Happens = Callable[[], Awaitable[object]]


@pytest.fixture
async def node(dsn: str) -> AsyncIterator[Node]:
    async with started(dsn) as made:
        yield made


class Hasher:
    """The real one, and something that happens while a password is checked for the first time."""

    def __init__(self, node: Node, happens: Happens | None) -> None:
        self._node = node
        self._happens = happens
        self.checked = 0

    async def hash(self, password: str) -> str:
        return await self._node.parts.hasher.hash(password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        self.checked += 1
        happens, self._happens = self._happens, None
        if happens is not None:
            await happens()
        return await self._node.parts.hasher.verify(password, password_hash)

    def outdated(self, password_hash: str) -> bool:
        return self._node.parts.hasher.outdated(password_hash)


class Shop:
    """A client with a logged-in user, and what it does with the one token."""

    def __init__(self, node: Node, caller: Caller, token: str) -> None:
        self.node, self.caller, self.token = node, caller, token
        self.checked = 0

    @classmethod
    async def open(cls, node: Node) -> "Shop":
        caller = await node.app()
        roles = node.usecases.users.roles
        await roles.define(ADMIN, "sales", ("orders.read", "orders.write"), "")
        create = node.usecases.users.create
        for name in ("alice", "bob"):
            await create(ADMIN, NewUser(name, PASSWORD, ("sales",)))
        return cls(node, caller, (await node.login(caller, "alice")).session_token)

    async def exchange(self, token: str, once: bytes, **asked: Any) -> ExchangeOutcome:
        request = ExchangeRequest(token=token, exchange_id=once, **asked)
        return await self.node.usecases.sessions.exchange(self.caller, request)

    async def step_up(
        self,
        once: bytes,
        *,
        username: str = "alice",
        password: str = PASSWORD,
        meanwhile: Happens | None = None,
    ) -> ExchangeOutcome:
        hasher = Hasher(self.node, meanwhile)
        use_case = self.node.but(hasher=hasher).usecases.login.reauthenticate
        request = ReauthenticateRequest(
            ExchangeRequest(token=self.token, exchange_id=once),
            PasswordCredential(username, password),
        )
        try:
            return await use_case(self.caller, request)
        finally:
            self.checked = hasher.checked

    async def refused(self, call: Awaitable[object]) -> Reason:
        with pytest.raises(TokenServiceError) as caught:
            await call
        return caught.value.reason

    async def lives(self, token: str) -> bool:
        return not (await self.exchange(token, OTHER)).replayed


@pytest.mark.parametrize("once", [ONE, OTHER, b""], ids=["same id", "other id", "no id"])
async def test_an_exchange_meanwhile_supersedes_it(node: Node, once: bytes) -> None:
    """Whoever it was, the step-up began with the current token: no reason to end the session."""
    shop = await Shop.open(node)
    got: list[ExchangeOutcome] = []

    async def tab_renews() -> None:
        got.append(await shop.exchange(shop.token, once))

    reason = await shop.refused(shop.step_up(ONE, meanwhile=tab_renews))
    assert reason is Reason.TOKEN_SUPERSEDED
    assert await shop.lives(got[0].tokens.session_token)


async def test_also_when_the_successor_was_used_by_then(node: Node) -> None:
    shop = await Shop.open(node)
    got: list[ExchangeOutcome] = []

    async def renewed_twice() -> None:
        first = await shop.exchange(shop.token, ONE)
        got.append(await shop.exchange(first.tokens.session_token, ONE))

    reason = await shop.refused(shop.step_up(ONE, meanwhile=renewed_twice))
    assert reason is Reason.TOKEN_SUPERSEDED
    assert await shop.lives(got[0].tokens.session_token)


async def test_a_thief_who_won_is_noticed_when_the_owner_next_shows_the_token(node: Node) -> None:
    shop = await Shop.open(node)
    got: list[ExchangeOutcome] = []

    async def thief_exchanges() -> None:
        got.append(await shop.exchange(shop.token, OTHER))

    reason = await shop.refused(shop.step_up(ONE, meanwhile=thief_exchanges))
    assert reason is Reason.TOKEN_SUPERSEDED
    assert await shop.refused(shop.exchange(shop.token, ONE)) is Reason.TOKEN_REUSED
    stolen = shop.exchange(got[0].tokens.session_token, OTHER)
    assert await shop.refused(stolen) is Reason.TOKEN_REVOKED


async def test_its_own_retry_meanwhile_has_the_same_successor(node: Node) -> None:
    shop = await Shop.open(node)
    got: list[ExchangeOutcome] = []

    async def retried() -> None:
        got.append(await shop.step_up(ONE))

    again = await shop.step_up(ONE, meanwhile=retried)
    assert again.replayed
    assert again.tokens.session_token == got[0].tokens.session_token


async def test_a_revocation_meanwhile_is_told_as_one(node: Node) -> None:
    shop = await Shop.open(node)

    async def logged_out() -> None:
        assert await shop.refused(shop.exchange(shop.token, ONE, scopes=("root",))) is (
            Reason.SCOPE_WIDENED
        )
        await shop.exchange(shop.token, ONE)
        assert await shop.refused(shop.exchange(shop.token, OTHER)) is Reason.TOKEN_REUSED

    assert await shop.refused(shop.step_up(ONE, meanwhile=logged_out)) is Reason.TOKEN_REVOKED


async def test_after_an_exchange_with_the_same_id_no_password_is_checked(node: Node) -> None:
    shop = await Shop.open(node)
    renewed = await shop.exchange(shop.token, ONE)
    reason = await shop.refused(shop.step_up(ONE, password="wrong"))
    assert (reason, shop.checked) == (Reason.TOKEN_SUPERSEDED, 0)
    assert await shop.lives(renewed.tokens.session_token)


async def test_a_token_that_was_spent_before_is_reuse(node: Node) -> None:
    shop = await Shop.open(node)
    renewed = await shop.exchange(shop.token, ONE)
    reason = await shop.refused(shop.step_up(OTHER))
    assert (reason, shop.checked) == (Reason.TOKEN_REUSED, 0)
    gone = shop.exchange(renewed.tokens.session_token, ONE)
    assert await shop.refused(gone) is Reason.TOKEN_REVOKED


async def test_an_exchange_after_it_does_not_get_the_stronger_login(node: Node) -> None:
    """Only who proves the credential gets it, and the background tab ends nobody's session."""
    shop = await Shop.open(node)
    stronger = await shop.step_up(ONE)
    for asked in ({}, {"audiences": ("orders",)}, {"scopes": ("orders.read",)}):
        late = shop.exchange(shop.token, ONE, **asked)
        assert await shop.refused(late) is Reason.TOKEN_SUPERSEDED
    assert (await shop.step_up(ONE)).replayed
    assert await shop.refused(shop.step_up(ONE, password="wrong")) is Reason.CREDENTIALS_INVALID
    assert await shop.lives(stronger.tokens.session_token)


async def test_the_password_of_another_user_is_wrong_and_noted_as_such(node: Node) -> None:
    shop = await Shop.open(node)
    reason = await shop.refused(shop.step_up(ONE, username="bob"))
    assert reason is Reason.CREDENTIALS_INVALID
    assert await node.audited("user.authenticate") == 1
    assert not (await shop.step_up(ONE)).replayed
