"""How many round trips to PostgreSQL a call takes, and that it is answered where they are long.

What is read after the trust log has moved is not counted: it is read on a connection of its own.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.codes.code_world import SHOP, wish
from tests.support.clocks import NOW, StandingClock
from tests.support.node import ADMIN, PASSWORD, Node
from tests.support.slow_postgres import SlowPostgres
from tests.support.waiting import PATIENCE
from tests.support.world import World
from token_service.adapters.crypto.configured_secrets import SecretKeys
from token_service.adapters.postgres.pool import Database
from token_service.adapters.postgres.trust import log as trust
from token_service.domain.clients.caller import Caller
from token_service.domain.errors import TokenServiceError
from token_service.domain.kinds import RevocationReason, TrustEntryKind
from token_service.usecases.codes.redeem import RedeemRequest
from token_service.usecases.sessions.exchange import ExchangeRequest
from token_service.usecases.tokens.token_set import IssuedTokens
from token_service.usecases.trust.revoke import (
    BulkTarget,
    RevokeRequest,
    SessionTarget,
    Target,
    TokenTarget,
)
from token_service.usecases.users.administration import NewUser

FAR = 0.15
"""Seconds, for each way."""

LOGOUT, LOST = RevocationReason.LOGOUT, RevocationReason.ADMINISTRATIVE
Call = Callable[[], Awaitable[object]]


@dataclass
class Setting:
    """A node behind the proxy, with a shop whose users log in."""

    proxy: SlowPostgres
    node: Node
    shop: Caller
    made: int = 0

    async def tokens(self) -> IssuedTokens:
        """Those of a new user who has just logged in."""
        self.made += 1
        name = f"user-{self.made}"
        await self.node.usecases.users.create(ADMIN, NewUser(name, PASSWORD, ("sales",)))
        return await self.node.login(self.shop, name)

    async def client(self) -> str:
        """A new client that is in use."""
        self.made += 1
        return (await self.node.app(f"app-{self.made}")).client_id

    def revoke(self, target: Target, caller: Caller = ADMIN) -> Awaitable[object]:
        return self.node.usecases.tokens.revoke(caller, RevokeRequest(target, LOST))


@pytest.fixture
async def setting(dsn: str, tmp_path: Path) -> AsyncIterator[Setting]:
    async with SlowPostgres(dsn, tmp_path) as proxy:
        database = await Database.open(proxy.dsn, size=2)
        follower = await Database.open(dsn, size=1)
        world = World(dsn, None, SecretKeys.generate_text(), {}, "", "")
        node = await Node.assembled(world.settings(), database, StandingClock(NOW))

        async def refresh() -> None:
            state = node.parts.trust.state
            async with follower.transaction() as conn:
                since = state.revision if state.epoch else 0
                reading = await trust.read(conn, since, boot=node.clock.unix, within=PATIENCE)
            await node.parts.trust.apply(reading)

        node.parts.follow(refresh)
        await node.parts.key_maintenance.ensure(node.clock.now())
        await refresh()
        await node.usecases.users.roles.define(ADMIN, "sales", ("orders.read",), "")
        yield Setting(proxy, node, await node.app("shop"))
        await node.close()
        await follower.close()


async def _token(one: Setting) -> Call:
    tokens = await one.tokens()
    return lambda: one.revoke(TokenTarget(tokens.access_tokens[0].token), one.shop)


async def _logout(one: Setting) -> Call:
    tokens = await one.tokens()
    return lambda: one.revoke(TokenTarget(tokens.session_token), one.shop)


async def _logout_again(one: Setting) -> Call:
    call = await _logout(one)
    await call()
    return call


async def _session(one: Setting) -> Call:
    tokens = await one.tokens()
    return lambda: one.revoke(SessionTarget(tokens.session.session_id))


async def _subject(one: Setting) -> Call:
    tokens = await one.tokens()
    return lambda: one.revoke(BulkTarget(TrustEntryKind.SUBJECT, tokens.session.subject))


async def _device(one: Setting) -> Call:
    subject = (await one.tokens()).session.subject
    return lambda: one.revoke(BulkTarget(TrustEntryKind.SUBJECT_DEVICE, subject, "phone"))


async def _client(one: Setting) -> Call:
    client_id = await one.client()
    return lambda: one.revoke(BulkTarget(TrustEntryKind.CLIENT, client_id))


async def _everything(one: Setting) -> Call:
    return lambda: one.revoke(BulkTarget(TrustEntryKind.EVERYTHING))


async def _key(one: Setting) -> Call:
    keys = one.node.usecases.keys

    async def compromise() -> None:
        kid = one.node.parts.mint.active().kid
        await keys.compromise(ADMIN, kid, "")

    return compromise


async def _revoke_session(one: Setting) -> Call:
    session = (await one.tokens()).session
    revoke = one.node.usecases.sessions.revoke
    return lambda: revoke(one.shop, session.session_id, LOGOUT)


async def _revoke_others(one: Setting) -> Call:
    tokens = await one.tokens()
    name = f"user-{one.made}"
    await one.node.login(one.shop, name)
    await one.node.login(one.shop, name)
    revoke = one.node.usecases.sessions.revoke
    return lambda: revoke.others(one.shop, tokens.session_token, LOGOUT)


async def _disable_user(one: Setting) -> Call:
    user_id = (await one.tokens()).session.user_id
    assert user_id is not None
    disable = one.node.usecases.users.administration.disable
    return lambda: disable(ADMIN, user_id, "")


async def _delete_user(one: Setting) -> Call:
    user_id = (await one.tokens()).session.user_id
    assert user_id is not None
    delete = one.node.usecases.users.administration.delete
    return lambda: delete(ADMIN, user_id, "")


async def _set_roles(one: Setting) -> Call:
    user_id = (await one.tokens()).session.user_id
    assert user_id is not None
    set_roles = one.node.usecases.users.administration.set_roles
    return lambda: set_roles(ADMIN, user_id, (), "")


async def _set_password(one: Setting) -> Call:
    user_id = (await one.tokens()).session.user_id
    assert user_id is not None
    by_administrator = one.node.usecases.users.set_password.by_administrator
    return lambda: by_administrator(ADMIN, user_id, "another horse entirely")


async def _change_password(one: Setting) -> Call:
    tokens = await one.tokens()
    by_user = one.node.usecases.users.set_password.by_user
    return lambda: by_user(one.shop, tokens.session_token, "another horse entirely")


async def _disable_client(one: Setting) -> Call:
    client_id = await one.client()
    disable = one.node.usecases.clients.administration.disable
    return lambda: disable(ADMIN, client_id, "")


async def _login(one: Setting) -> Call:
    await one.tokens()
    name = f"user-{one.made}"
    return lambda: one.node.login(one.shop, name)


async def _wrong_password(one: Setting) -> Call:
    await one.tokens()
    name = f"user-{one.made}"

    async def login() -> None:
        with pytest.raises(TokenServiceError):
            await one.node.login(one.shop, name, "wrong horse")

    return login


async def _own_session(one: Setting) -> Call:
    return lambda: one.node.own_session(one.shop)


async def _exchange(one: Setting) -> Call:
    tokens = await one.tokens()
    request = ExchangeRequest(token=tokens.session_token, exchange_id=secrets.token_bytes(16))
    return lambda: one.node.usecases.sessions.exchange(one.shop, request)


async def _exchange_again(one: Setting) -> Call:
    call = await _exchange(one)
    await call()
    return call


async def _redeem(one: Setting) -> Call:
    code = await one.node.usecases.codes.issue(SHOP, wish())
    request = RedeemRequest("signup", code.text)
    return lambda: one.node.usecases.codes.redeem(SHOP, request)


async def _wrong_code(one: Setting) -> Call:
    async def redeem() -> None:
        with pytest.raises(TokenServiceError):
            await one.node.usecases.codes.redeem(SHOP, RedeemRequest("signup", "ABCDEFGHJK"))

    return redeem


REVOCATIONS: dict[Callable[[Setting], Awaitable[Call]], int] = {
    _token: 1,
    _logout: 3,
    _logout_again: 3,
    _session: 3,
    _subject: 2,
    _device: 4,
    _client: 4,
    _everything: 1,
    _key: 8,
    _revoke_session: 4,
    _revoke_others: 4,
    _disable_user: 2,
    _delete_user: 2,
    _set_roles: 2,
    _set_password: 3,
    _change_password: 7,
    _disable_client: 8,
}
OTHERS: dict[Callable[[Setting], Awaitable[Call]], int] = {
    _login: 4,
    _wrong_password: 3,
    _own_session: 1,
    _exchange: 1,
    _exchange_again: 3,
    _redeem: 1,
    _wrong_code: 2,
}


@pytest.mark.parametrize("prepare", [*REVOCATIONS, *OTHERS], ids=lambda one: one.__name__[1:])
async def test_round_trips(setting: Setting, prepare: Callable[[Setting], Awaitable[Call]]) -> None:
    """Once the connection knows the statements."""
    await (await prepare(setting))()
    call = await prepare(setting)
    await setting.node.database.fetch("SELECT 1")  # which waits for nothing that goes on
    before = setting.proxy.trips
    await call()
    assert setting.proxy.trips - before == {**REVOCATIONS, **OTHERS}[prepare]


@pytest.mark.slow
@pytest.mark.parametrize(
    "prepare",
    [_logout, _subject, _device, _disable_user, _change_password],
    ids=lambda one: one.__name__[1:],
)
async def test_what_is_revoked_far_away_is_acknowledged(
    setting: Setting, prepare: Callable[[Setting], Awaitable[Call]]
) -> None:
    """Within the time of a call; PostgreSQL is as far as the other side of the earth."""
    await (await prepare(setting))()
    call = await prepare(setting)
    setting.proxy.delay = FAR
    await call()
