"""The administrative clients of the client package against a real server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.support.clients import connect, secret_of
from tests.support.fixtures import StartApplication
from tests.support.lossy_proxy import LossyProxy
from tests.support.world import World
from tokenservice import (
    Anonymous,
    ClientAdmin,
    ClientPolicy,
    ClientSecret,
    ClientState,
    Connection,
    CredentialsInvalid,
    KeyAdmin,
    KeyPurpose,
    KeyState,
    PermissionDenied,
    Platform,
    Reason,
    RegisteredClient,
    RevocationReason,
    SyncClientAdmin,
    SyncConnection,
    SyncKeyAdmin,
    SyncTrustClient,
    SyncUserAdmin,
    TokenClient,
    TokenServiceError,
    TrustClient,
    TrustEffect,
    TrustEntryKind,
    Unreachable,
    UserAdmin,
    UserState,
)

POLICY = ClientPolicy(
    platforms=(Platform.API,),
    audiences=("orders",),
    scopes=("orders.read",),
    permissions=("tokens.exchange", "tokens.issue", "tokens.revoke"),
    access_lifetime=timedelta(seconds=90),
)
PASSWORD = "correct horse battery staple"


def named(policy: ClientPolicy) -> dict[str, Any]:
    """What the policy says; the service puts its defaults in place of the rest."""
    return {
        one.name: getattr(policy, one.name)
        for one in fields(policy)
        if getattr(POLICY, one.name) != one.default
    }


class Office:
    """A server, and those who call it."""

    def __init__(self, world: World, address: str, stack: AsyncExitStack) -> None:
        self.world = world
        self.address = address
        self._stack = stack

    async def connection(self, client_id: str = "demo-admin", **options: Any) -> Connection:
        return await self._stack.enter_async_context(
            connect(self.world, options.pop("at", self.address), client_id, **options)
        )

    async def registered(self, name: str = "Shop") -> RegisteredClient:
        """By nobody in particular."""
        async with Connection(self.address, Anonymous()) as connection:
            return await ClientAdmin(connection).register_client(name, "shop@example.com", POLICY)


@pytest_asyncio.fixture(loop_scope="session")
async def office(world: World, start_application: StartApplication) -> AsyncIterator[Office]:
    server = await start_application()
    async with AsyncExitStack() as stack:
        yield Office(world, server.address, stack)


async def test_a_client_from_its_registration_to_its_end(office: Office) -> None:
    asked = await office.registered()
    assert asked.state is ClientState.PENDING
    admin = ClientAdmin(await office.connection())
    pending = [one async for one in admin.list_clients(state=ClientState.PENDING)]
    assert [(one.client_id, one.name) for one in pending] == [(asked.client_id, "Shop")]
    assert named(pending[0].policy) == named(POLICY)
    async with Connection(office.address, Anonymous()) as connection:
        nobody = ClientAdmin(connection)
        with pytest.raises(CredentialsInvalid):
            await nobody.collect_client_credentials(asked.client_id, "not the secret")
        with pytest.raises(TokenServiceError) as early:
            await nobody.collect_client_credentials(asked.client_id, asked.registration_secret)
        assert early.value.reason is Reason.CLIENT_NOT_APPROVED
        wider = replace(POLICY, scopes=("orders.read", "orders.write"))
        reviewed = await admin.review_client(
            asked.client_id, approve=True, policy=wider, note="welcome"
        )
        assert reviewed.client.state is ClientState.APPROVED
        assert named(reviewed.client.policy) == named(wider)
        credentials = [
            await nobody.collect_client_credentials(
                asked.client_id, asked.registration_secret, request_id="once"
            )
            for _ in range(2)
        ]
        assert credentials[0] == credentials[1]
        with pytest.raises(TokenServiceError) as stranger:
            await nobody.get_client(asked.client_id)
        assert stranger.value.reason is Reason.CALLER_UNAUTHENTICATED
    secret = ClientSecret(asked.client_id, credentials[0].client_secret)
    async with Connection(office.address, secret) as connection:
        own = ClientAdmin(connection)
        assert (await own.get_client()).state is ClientState.ACTIVE
        rotated = await own.rotate_client_secret(overlap=timedelta(hours=1), request_id="again")
        assert rotated.old_secret_expires_at is not None
        assert rotated.old_secret_expires_at - datetime.now(UTC) < timedelta(hours=1, minutes=1)
        assert (await own.rotate_client_secret(request_id="again")).client_secret == (
            rotated.client_secret
        )
        with pytest.raises(PermissionDenied):
            await own.list_clients().page()
    changed = await admin.update_client_policy(asked.client_id, POLICY, note="less")
    assert named(changed.client.policy) == named(POLICY)
    assert changed.client.reviewed_by == "demo-admin"
    assert changed.revision > 0
    disabled = await admin.disable_client(asked.client_id, note="bye")
    assert disabled.client.state is ClientState.DISABLED
    assert (await admin.enable_client(asked.client_id)).state is ClientState.ACTIVE
    with pytest.raises(TokenServiceError) as unknown:
        await admin.get_client("no-such-client")
    assert unknown.value.reason is Reason.CLIENT_NOT_FOUND


async def test_rejecting_and_reviewing_ones_own(office: Office) -> None:
    admin = ClientAdmin(await office.connection())
    asked = await office.registered()
    rejected = await admin.review_client(asked.client_id, approve=False, note="who are you?")
    assert (rejected.client.state, rejected.client.review_note) == (
        ClientState.REJECTED,
        "who are you?",
    )
    own = await admin.register_client("Mine", "me@example.com", client_id="mine")
    assert own.client_id == "mine"
    with pytest.raises(TokenServiceError) as taken:
        await admin.register_client("Mine too", "me@example.com", client_id="mine")
    assert taken.value.reason is Reason.CLIENT_EXISTS
    with pytest.raises(PermissionDenied) as refused:
        await admin.review_client(own.client_id, approve=True, policy=POLICY)
    assert refused.value.reason is Reason.SELF_REVIEW


async def test_users_page_by_page(office: Office) -> None:
    users = UserAdmin(await office.connection())
    await users.define_role("desk", ["orders.read"])
    changed = await users.define_role("desk", ["orders.write", "orders.read"], note="more")
    assert changed.role.scopes == ("orders.read", "orders.write")
    roles = [one async for one in users.list_roles(page_size=1)]
    assert changed.role in roles
    names = [f"user{number}" for number in range(6)]
    made = [await users.create_user(name, PASSWORD, roles=["desk"]) for name in names]
    everybody = [one async for one in users.list_users(page_size=2)]
    assert [one.username for one in everybody] == sorted([*names, office.world.username])
    assert [one for one in everybody if one.roles == ("desk",)] == made
    pages = [page async for page in users.list_users(page_size=2).pages()]
    assert [len(page.items) for page in pages] == [2, 2, 2, 1]
    assert [one for page in pages for one in page.items] == everybody
    second = await users.list_users(page_size=2, page_token=pages[0].next_page_token).page()
    assert second == pages[1]
    rest = users.list_users(page_size=2, page_token=pages[1].next_page_token)
    assert [one async for one in rest] == everybody[4:]
    with pytest.raises(TokenServiceError) as refused:
        await users.list_users(page_token="no token").page()
    assert refused.value.field_violations[0].field == "page_token"


async def test_a_users_life(office: Office) -> None:
    users = UserAdmin(await office.connection())
    tokens = TokenClient(await office.connection("demo-web"))
    await users.define_role("desk", ["orders.read"])
    alice = await users.create_user("alice-of-the-desk", PASSWORD, roles=["desk"])
    assert (alice.state, alice.roles, alice.login_attempts) == (UserState.ACTIVE, ("desk",), None)
    with pytest.raises(TokenServiceError) as taken:
        await users.create_user("Alice-of-the-desk", PASSWORD)
    assert taken.value.reason is Reason.USER_EXISTS
    with pytest.raises(CredentialsInvalid):
        await tokens.login_with_password(alice.username, "wrong", platform=Platform.WEB)
    found = await users.get_user(username=alice.username)
    assert found.login_attempts is not None
    assert (found.login_attempts.failed, found.login_attempts.locked_until) == (1, None)
    assert (await users.unlock_user(alice.user_id)).user_id == alice.user_id
    login = await tokens.login_with_password(alice.username, PASSWORD, platform=Platform.WEB)
    own = UserAdmin(await office.connection("demo-web"))
    await own.set_password("another horse entirely", session_token=login.session_token)
    await tokens.exchange(login.session_token)
    reset = await users.set_password(PASSWORD, user_id=alice.user_id)
    assert reset.revision > 0
    disabled = await users.disable_user(alice.user_id, note="left")
    assert disabled.user.state is UserState.DISABLED
    assert disabled.user.disabled_at is not None
    assert (await users.enable_user(alice.user_id)).disabled_at is None
    with pytest.raises(TokenServiceError) as missing:
        await users.set_roles(alice.user_id, ["nobody-has-it"])
    assert missing.value.reason is Reason.ROLE_NOT_FOUND
    assert (await users.set_roles(alice.user_id, [], note="none")).user.roles == ()
    gone = await users.delete_user(alice.user_id)
    assert gone.user.username == alice.username
    with pytest.raises(TokenServiceError) as unknown:
        await users.get_user(alice.user_id)
    assert unknown.value.reason is Reason.USER_NOT_FOUND
    with pytest.raises(ValueError, match="either"):
        await users.get_user()
    with pytest.raises(ValueError, match="either"):
        await users.get_user(user_id=alice.user_id, username=alice.username)


async def test_keys(office: Office) -> None:
    keys = KeyAdmin(await office.connection())
    everything = [one async for one in keys.list_keys(page_size=2)]
    assert {one.purpose for one in everything} == set(KeyPurpose) - {KeyPurpose.UNSPECIFIED}
    signing = [one async for one in keys.list_keys(purpose=KeyPurpose.SIGNING, page_size=1)]
    assert signing == [one for one in everything if one.purpose is KeyPurpose.SIGNING]
    [old] = [one for one in signing if (one.state, one.algorithm) == (KeyState.ACTIVE, "EdDSA")]
    assert old.public_key.startswith(b"\x30")
    successor = await keys.rotate_key(KeyPurpose.SIGNING, note="early")
    assert (successor.state, successor.algorithm) == (KeyState.PENDING, "EdDSA")
    with pytest.raises(TokenServiceError) as pending:
        await keys.rotate_key(KeyPurpose.SIGNING)
    assert pending.value.reason is Reason.KEY_STATE
    ended = await keys.compromise_key(old.kid)
    assert (ended.key.kid, ended.key.state) == (old.kid, KeyState.COMPROMISED)
    assert (await keys.compromise_key(old.kid)).key.compromised_at == ended.key.compromised_at
    with pytest.raises(PermissionDenied):
        await KeyAdmin(await office.connection("demo-web")).list_keys().page()


async def test_replies_that_are_lost(office: Office) -> None:
    """What may be repeated is, and what may not is done once."""
    async with LossyProxy(office.address) as proxy:
        connection = await office.connection(at=proxy.address, channels=1)
        admin, users = ClientAdmin(connection), UserAdmin(connection)
        asked = await office.registered()
        await admin.review_client(asked.client_id, approve=True)
        proxy.replies_to_lose = 1
        credentials = await admin.collect_client_credentials(
            asked.client_id, asked.registration_secret
        )
        secret = ClientSecret(asked.client_id, credentials.client_secret)
        async with Connection(office.address, secret) as own:
            assert (await ClientAdmin(own).get_client()).state is ClientState.ACTIVE
        proxy.replies_to_lose = 1
        rotated = await admin.rotate_client_secret(asked.client_id)
        assert (proxy.lost, rotated.old_secret_expires_at is None) == (2, False)
        alice = await users.create_user("alice-again", PASSWORD)
        proxy.replies_to_lose = 1
        disabled = await users.disable_user(alice.user_id)
        assert (proxy.lost, disabled.user.state) == (3, UserState.DISABLED)
        proxy.replies_to_lose = 1
        with pytest.raises(Unreachable):
            await users.enable_user(alice.user_id)
        assert (await users.get_user(user_id=alice.user_id)).state is UserState.ACTIVE
        proxy.replies_to_lose = 1
        with pytest.raises(Unreachable):
            await admin.register_client("Twice", "twice@example.com")
        pending = [one async for one in admin.list_clients(state=ClientState.PENDING)]
        assert [one.name for one in pending] == ["Twice"]


async def test_looking_at_the_trust_log(office: Office) -> None:
    trust = TrustClient(await office.connection("demo-gateway"))
    client = TokenClient(await office.connection("demo-admin"))
    first = await client.revoke(client_id="demo-web", reason=RevocationReason.LOST_DEVICE)
    view = await trust.get_trust()
    assert view.revision >= first.revision
    [entry] = [one for one in view.entries if one.id == "demo-web"]
    assert (entry.kind, entry.effect, entry.reason) == (
        TrustEntryKind.CLIENT,
        TrustEffect.REVOKE,
        RevocationReason.LOST_DEVICE,
    )
    assert any(key.state is KeyState.ACTIVE and key.alg == "EdDSA" for key in view.keys)
    feed = trust.watch_trust()
    snapshot = await anext(feed)
    assert snapshot.snapshot is not None
    assert (snapshot.snapshot.entries, snapshot.snapshot.last) == (view.entries, True)
    await feed.aclose()
    async with aclosing(
        trust.watch_trust(epoch=view.epoch, from_revision=view.revision)
    ) as following:
        again = await client.revoke(client_id="demo-api")
        async for message in following:
            if message.delta is not None and message.delta.entries:
                assert [one.id for one in message.delta.entries] == ["demo-api"]
                assert message.revision >= again.revision
                break
    with pytest.raises(PermissionDenied):
        await TrustClient(await office.connection("demo-web")).get_trust()


async def test_without_an_event_loop(office: Office) -> None:
    def administer() -> None:
        credentials = secret_of(office.world, "demo-admin")
        with SyncConnection(office.address, credentials) as connection:
            users = SyncUserAdmin(connection)
            made = [users.create_user(f"user{number}", PASSWORD) for number in range(3)]
            listed = list(users.list_users(page_size=2))
            assert [one for one in listed if one in made] == made
            pages = list(users.list_users(page_size=2).pages())
            assert [len(page.items) for page in pages] == [2, 2]
            assert users.list_users(page_size=2).page() == pages[0]
            second = users.list_users(page_size=2, page_token=pages[0].next_page_token)
            assert list(second) == listed[2:]
            clients = SyncClientAdmin(connection)
            first = next(iter(clients.list_clients(page_size=1)))
            assert clients.get_client(first.client_id) == first
            keys = SyncKeyAdmin(connection)
            assert list(keys.list_keys(purpose=KeyPurpose.SIGNING))
            with pytest.raises(TokenServiceError, match="KEY_NOT_FOUND"):
                keys.compromise_key("0" * 16)
        credentials = secret_of(office.world, "demo-gateway")
        with SyncConnection(office.address, credentials) as connection:
            trust = SyncTrustClient(connection)
            feed = trust.watch_trust()
            assert next(feed).revision == trust.get_trust().revision
            feed.close()

    await asyncio.to_thread(administer)
