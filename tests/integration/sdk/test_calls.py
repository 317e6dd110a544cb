"""The client package against a real server: every call, and that nothing secret shows."""

import asyncio
import logging
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from tests.support.canaries import Canaries
from tests.support.clients import connect, secret_of
from tests.support.fixtures import LocalServer, StartApplication
from tests.support.world import World
from tokenservice import (
    AccessTokenCredentials,
    Check,
    Connection,
    DerivedExchangeId,
    Device,
    MemoryTokenStore,
    PendingExchange,
    Reason,
    SessionOver,
    Source,
    StoredSession,
    StoredTokens,
    TokenClient,
    TokenServiceError,
    TokenSet,
    TokenSource,
    TokenStoreError,
)
from tokenservice.core import Platform, RevocationReason, TokenKind, Verdict
from tokenservice.v1 import types_pb2 as types

PHONE = Device("phone-1", "Alice's phone", "app/1.0", "192.0.2.7")


@asynccontextmanager
async def client_of(world: World, address: str, client_id: str) -> AsyncIterator[TokenClient]:
    async with connect(world, address, client_id) as connection:
        yield TokenClient(connection)


async def login(world: World, client: TokenClient, device: Device | None = None) -> TokenSet:
    return await client.login_with_password(
        world.username, world.password, platform=Platform.WEB, audiences=["orders"], device=device
    )


@pytest.fixture
async def server(start_application: StartApplication) -> LocalServer:
    return await start_application()


async def test_from_login_to_logout(world: World, server: LocalServer) -> None:
    async with (
        client_of(world, server.address, "demo-web") as web,
        client_of(world, server.address, "demo-gateway") as gateway,
    ):
        first = await login(world, web, PHONE)
        assert first.session_kind is TokenKind.WEB_SESSION
        assert first.idle_expires_at < first.absolute_expires_at
        second = await web.exchange(first.session_token, scopes=["orders.read"], device=PHONE)
        access = second.access_token("orders")
        assert (access.scopes, second.session_id) == (("orders.read",), first.session_id)
        decision = await gateway.validate(
            access.token,
            audience="orders",
            scopes=["orders.read"],
            max_auth_age=timedelta(seconds=60),
            acr="aal1",
        )
        assert (decision.verdict, decision.http_status, decision.source) == (
            Verdict.ACTIVE,
            200,
            Source.REMOTE,
        )
        assert decision.principal is not None
        assert decision.principal.session_id == first.session_id
        assert decision.principal.device_id == "phone-1"
        assert decision.principal.expires_at == access.expires_at
        third = await web.reauthenticate(second.session_token, world.username, world.password)
        with pytest.raises(TokenServiceError, match="CREDENTIALS_INVALID"):
            await web.reauthenticate(third.session_token, world.username, "wrong password")
        revoked = await web.revoke(token=third.session_token)
        assert revoked.sessions == 1
        checks = [
            Check(token=access.token, audience="orders", min_revision=revoked.revision),
            Check(token=access.token, audience="billing"),
            Check(token="nonsense", audience="orders"),
            Check(token="", audience="orders", scopes=["orders.read"]),
            Check(token="\ud800", audience="orders", max_auth_age=timedelta(minutes=5)),
        ]
        verdicts = [one.verdict for one in await gateway.batch_validate(checks)]
        assert verdicts[0] is Verdict.REVOKED
        assert verdicts[2:] == [Verdict.MALFORMED] * 3
        assert (await web.revoke(token="no token at all")).sessions == 0
        with pytest.raises(TokenServiceError) as over:
            await web.exchange(third.session_token)
        assert (over.value.reason, type(over.value)) == (Reason.TOKEN_REVOKED, SessionOver)
        assert over.value.request_id


async def test_sessions_are_listed_and_ended(world: World, server: LocalServer) -> None:
    async with client_of(world, server.address, "demo-web") as web:
        sets = [await login(world, web, PHONE), *[await login(world, web) for _ in range(4)]]
        page = await web.list_sessions(session_token=sets[-1].session_token, page_size=3).page()
        assert [one.session_id for one in page.items] == [
            one.session_id for one in reversed(sets[2:])
        ]
        rest = await web.list_sessions(
            session_token=sets[-1].session_token, page_size=3, page_token=page.next_page_token
        ).page()
        assert (len(rest.items), rest.next_page_token) == (2, "")
        listed = web.list_sessions(session_token=sets[-1].session_token, page_size=2)
        assert [one async for one in listed] == [*page.items, *rest.items]
        oldest = rest.items[-1]
        assert (oldest.device, oldest.platform) == (PHONE, Platform.WEB)
        assert oldest.revoked_at is None
        subject = oldest.subject
        assert len((await web.list_sessions(subject=subject).page()).items) == 5
        ended = await web.revoke_session(oldest.session_id, reason=RevocationReason.LOST_DEVICE)
        assert ended.sessions == 1
        gone = await web.get_session(oldest.session_id)
        assert gone == ended.session
        assert gone.revoked_at is not None
        assert gone.revoked_reason is RevocationReason.LOST_DEVICE
        assert (await web.revoke_other_sessions(sets[-1].session_token)).sessions == 3
        assert (await web.exchange(sets[-1].session_token)).session_id == sets[-1].session_id
        with pytest.raises(TokenServiceError, match="SESSION_NOT_FOUND"):
            await web.get_session("00000000-0000-4000-8000-000000000000")


async def test_every_kind_of_target_is_revoked(world: World, server: LocalServer) -> None:
    async with (
        client_of(world, server.address, "demo-admin") as admin,
        client_of(world, server.address, "demo-web") as web,
    ):
        tokens = await login(world, web, PHONE)
        subject = (await web.get_session(tokens.session_id)).subject
        kid = server.application.parts.mint.active().kid
        targets = (
            {"token": tokens.access_tokens[0].token},
            {"subject": subject, "device_id": "phone-1"},
            {"session_id": (await login(world, web)).session_id},
            {"subject": subject},
            {"client_id": "demo-web"},
            {"everything": True},
            {"key_id": kid},
        )
        revisions = [(await admin.revoke(**target, note="a test")).revision for target in targets]
        assert revisions == sorted(set(revisions))


@pytest.mark.parametrize("ids", [None, DerivedExchangeId(bytes(range(32)))])
async def test_one_browsers_parallel_requests_converge(
    world: World, server: LocalServer, ids: DerivedExchangeId | None
) -> None:
    """Two workers of a gateway, which share nothing but the client's secret, or a key."""
    async with (
        connect(world, server.address, "demo-web") as one,
        connect(world, server.address, "demo-web") as two,
    ):
        workers = [TokenClient(c, exchange_ids=ids) for c in (one, two)]
        tokens = await login(world, workers[0])
        for _ in range(2):
            successors = await asyncio.gather(
                *(
                    workers[n % 2].exchange(
                        tokens.session_token, scopes=[["orders.read"], ["orders.write"]][n // 16]
                    )
                    for n in range(32)
                )
            )
            assert len({one.session_token for one in successors}) == 1
            assert sum(not one.replayed for one in successors) == 1
            tokens = successors[0]
        stranger = TokenClient(one, exchange_ids=DerivedExchangeId(bytes(32)))
        current = (await workers[0].exchange(tokens.session_token)).session_token
        with pytest.raises(TokenServiceError) as caught:
            await stranger.exchange(tokens.session_token)
        assert (caught.value.reason, type(caught.value)) == (Reason.TOKEN_REUSED, SessionOver)
        with pytest.raises(TokenServiceError, match="TOKEN_REVOKED"):
            await workers[1].exchange(current)


async def test_a_thief_who_comes_later_is_noticed(world: World, server: LocalServer) -> None:
    """A copied cookie, presented through the same gateway: it converges for a minute, as a second
    tab would, and ends the session for both after that."""
    async with client_of(world, server.address, "demo-web") as gateway:
        cookie = (await login(world, gateway)).session_token
        owner = (await gateway.exchange(cookie)).session_token
        server.clock.advance(timedelta(seconds=59))
        assert (await gateway.exchange(cookie)).session_token == owner
        server.clock.advance(timedelta(seconds=2))
        with pytest.raises(TokenServiceError) as noticed:
            await gateway.exchange(cookie)
        assert noticed.value.reason == "TOKEN_REUSED"
        with pytest.raises(TokenServiceError, match="TOKEN_REVOKED"):
            await gateway.exchange(owner)


async def test_an_id_that_the_holder_draws_has_the_policys_window(
    world: World, server: LocalServer
) -> None:
    async with client_of(world, server.address, "demo-web") as client:
        token, once = (await login(world, client)).session_token, bytes(range(16))
        successor = await client.exchange(token, exchange_id=once)
        server.clock.advance(timedelta(minutes=9))
        again = await client.exchange(token, exchange_id=once)
        assert (again.session_token, again.replayed) == (successor.session_token, True)
        with pytest.raises(TokenServiceError, match="TOKEN_REUSED"):
            await client.exchange(token, exchange_id=once, replay_within=timedelta(minutes=5))


async def test_a_background_tab_that_renews_after_a_step_up(
    world: World, server: LocalServer
) -> None:
    """The tab does not get the stronger login, and the person stays signed in."""
    async with client_of(world, server.address, "demo-web") as gateway:
        cookie = (await login(world, gateway)).session_token
        stronger = await gateway.reauthenticate(cookie, world.username, world.password)
        with pytest.raises(TokenServiceError) as late:
            await gateway.exchange(cookie)
        assert late.value.reason is Reason.TOKEN_SUPERSEDED
        with pytest.raises(TokenServiceError) as shown:
            await gateway.list_sessions(session_token=cookie).page()
        assert (shown.value.reason, type(shown.value)) == (
            Reason.TOKEN_SUPERSEDED,
            TokenServiceError,
        )
        await gateway.exchange(stronger.session_token)


async def test_a_stored_session_steps_up(world: World, server: LocalServer) -> None:
    """Also when the reply to the exchange before it, or to the step-up itself, got lost."""
    async with client_of(world, server.address, "demo-web") as client:
        store, person = MemoryTokenStore(), (world.username, world.password)
        session = StoredSession(client, store)
        with pytest.raises(TokenStoreError):
            await session.reauthenticate(*person)
        first = await session.start(await login(world, client))
        once = PendingExchange(bytes(range(16)))
        await client.exchange(first.session_token, exchange_id=once.exchange_id)
        await store.save(StoredTokens(first, once))  # and nothing was heard of it
        with pytest.raises(TokenServiceError, match="CREDENTIALS_INVALID"):
            await session.reauthenticate(world.username, "wrong")
        second = await session.reauthenticate(*person)
        assert not second.replayed
        lost = PendingExchange(bytes(16))
        await client.reauthenticate(second.session_token, *person, exchange_id=lost.exchange_id)
        await store.save(StoredTokens(second, lost))
        with pytest.raises(TokenServiceError, match="TOKEN_SUPERSEDED"):
            await session.exchange()
        third = await session.reauthenticate(*person)
        assert third.replayed
        assert (await session.exchange()).session_id == first.session_id


async def test_the_service_is_called_with_an_access_token(
    world: World, server: LocalServer
) -> None:
    async with connect(world, server.address, "demo-admin", channels=1) as own:
        source = TokenSource(TokenClient(own), "token-service")
        async with (
            source,
            Connection(server.address, AccessTokenCredentials(source)) as connection,
        ):
            client = TokenClient(connection)
            listed = (await client.list_sessions(subject="demo-admin").page()).items
            assert len(listed) == 1
            first = await source.token()
            await TokenClient(own).revoke(token=first)
            # It is refused, replaced by exchange and the call made again.
            assert len((await client.list_sessions(subject="demo-admin").page()).items) == 1
            assert await source.token() != first
            await TokenClient(own).revoke(session_id=listed[0].session_id)
            again = (await client.list_sessions(subject="demo-admin").page()).items
            assert [one.session_id for one in again] != [listed[0].session_id]


async def test_a_rolling_token_is_exchanged_too(world: World, server: LocalServer) -> None:
    async with client_of(world, server.address, "demo-rolling") as client:
        tokens = await login(world, client)
        assert tokens.session_token == ""
        once = b"0123456789abcdef"
        successor = await client.exchange(tokens.exchangeable, exchange_id=once)
        replay = await client.exchange(tokens.exchangeable, exchange_id=once)
        assert successor.access_tokens[0].exchange_until is not None
        assert replay.replayed
        assert (await client.exchange(replay.exchangeable)).session_id == tokens.session_id


async def test_nothing_secret_shows(
    world: World, server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canaries = Canaries(world)
    once = b"\xfe\xed" * 8
    canaries.plant(once.hex())
    said: list[str] = []
    async with client_of(world, server.address, "demo-web") as web:
        tokens = await login(world, web)
        successor = await web.exchange(tokens.session_token, exchange_id=once)
        for one in (tokens, successor):
            said.append(repr(one))
            kept = types.TokenSet(session_token=one.session_token)
            kept.access_tokens.add(token=one.access_tokens[0].token)
            canaries.token_set(kept)
        said += [
            repr(web),
            repr(secret_of(world, "demo-web")),
            repr(Check(token=said[0], audience="orders")),
        ]
        wrong = canaries.plant("a wrong password")
        for attempt in (
            web.exchange(tokens.session_token),
            web.exchange(successor.session_token, scopes=[successor.session_token]),
            web.exchange(successor.access_tokens[0].token),
            web.login_with_password(world.username, wrong, platform=Platform.WEB),
            web.login_with_password(world.username, wrong + "\ud800", platform=Platform.WEB),
            web.validate(successor.session_token, audience=successor.session_token),
            web.list_sessions(session_token=tokens.session_token).page(),
            web.get_session(successor.session_token),
            web.revoke(session_id=successor.session_token),
        ):
            with pytest.raises(TokenServiceError) as caught:
                await attempt
            said += [repr(caught.value), str(caught.value)]
            said += traceback.format_exception(caught.value)
    assert len(said) > 40
    assert canaries.seen_in([*said, caplog.text]) == []
