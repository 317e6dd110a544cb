"""Administration over the wire: whoever asks is checked, field by field, before anything else."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest  # type: ignore[import-untyped]
from grpc_status import rpc_status  # type: ignore[import-untyped]

from tests.support.api import Api, basic, reason_of
from tests.support.fixtures import StartApplication
from tests.support.world import World
from tokenservice.v1 import client_policy_pb2 as policy_pb
from tokenservice.v1 import client_service_pb2 as client_pb
from tokenservice.v1 import key_service_pb2 as key_pb
from tokenservice.v1 import token_service_pb2 as token_pb
from tokenservice.v1 import types_pb2 as types
from tokenservice.v1 import user_service_pb2 as user_pb

NEW_PASSWORD = "another horse entirely"
APP = policy_pb.ClientPolicy(
    platforms=[types.PLATFORM_API],
    audiences=["orders"],
    scopes=["orders.read"],
    permissions=["tokens.issue", "tokens.exchange", "tokens.revoke"],
)


class Wire:
    """A server, and those who call it."""

    def __init__(self, world: World, address: str, stack: AsyncExitStack) -> None:
        self.world = world
        self.address = address
        self._stack = stack

    async def caller(self, client_id: str, secret: str = "") -> Api:
        secret = secret or self.world.clients[client_id]
        return await self._stack.enter_async_context(Api(self.address, basic(client_id, secret)))

    async def admin(self) -> Api:
        return await self.caller("demo-admin")


@pytest.fixture
async def wire(world: World, start_application: StartApplication) -> AsyncIterator[Wire]:
    server = await start_application()
    async with AsyncExitStack() as stack:
        yield Wire(world, server.address, stack)


async def refused(call: Awaitable[Any]) -> str:
    """The reason with which a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return reason_of(caught.value)


async def refused_field(call: Awaitable[Any]) -> str:
    """The path of the field for which a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(caught.value)
    assert status is not None
    for detail in status.details:
        violations = BadRequest()
        if detail.Unpack(violations):
            return str(violations.field_violations[0].field)
    return ""


async def registered(
    anybody: Api, *, metadata: tuple[tuple[str, str], ...] = ()
) -> client_pb.RegisterClientResponse:
    return await anybody.clients.RegisterClient(
        client_pb.RegisterClientRequest(
            name="Orders Batch", contact="batch@example.test", policy=APP
        ),
        metadata=metadata,
    )


async def test_from_a_registration_to_a_session(wire: Wire) -> None:
    admin = await wire.admin()
    applicant = await registered(admin)  # without credentials
    assert applicant.state == client_pb.CLIENT_STATE_PENDING
    collect = client_pb.CollectClientCredentialsRequest(
        client_id=applicant.client_id,
        registration_secret=applicant.registration_secret,
        request_id="0c5f8ad1",
    )
    assert await refused(admin.clients.CollectClientCredentials(collect)) == "CLIENT_NOT_APPROVED"

    review = client_pb.ReviewClientRequest(
        client_id=applicant.client_id, approve=client_pb.ApproveClient(), note="welcome"
    )
    approved = await admin.clients.ReviewClient(review, metadata=admin.metadata)
    assert approved.client.state == client_pb.CLIENT_STATE_APPROVED
    assert approved.client.reviewed_by == "demo-admin"
    again = admin.clients.ReviewClient(review, metadata=admin.metadata)
    assert await refused(again) == "CLIENT_STATE"

    collected = await admin.clients.CollectClientCredentials(collect)
    repeated = await admin.clients.CollectClientCredentials(collect)
    assert repeated.client_secret == collected.client_secret
    batch = await wire.caller(collected.client_id, collected.client_secret)
    issue = token_pb.IssueRequest(client=token_pb.ClientCredential(), platform=types.PLATFORM_API)
    issued = await batch.tokens.Issue(issue, metadata=batch.metadata)
    assert list(issued.tokens.access_tokens[0].scopes) == ["orders.read"]
    assert await refused(admin.clients.CollectClientCredentials(collect)) == (
        "CREDENTIALS_COLLECTED"
    )

    own = await batch.clients.GetClient(client_pb.GetClientRequest(), metadata=batch.metadata)
    assert own.client.state == client_pb.CLIENT_STATE_ACTIVE
    assert own.client.HasField("secret_created_at")
    other = client_pb.GetClientRequest(client_id="demo-web")
    assert await refused(batch.clients.GetClient(other, metadata=batch.metadata)) == (
        "PERMISSION_MISSING"
    )


async def test_a_wrong_registration_secret_says_no_more_than_that(wire: Wire) -> None:
    admin = await wire.admin()
    mine, other = await registered(admin), await registered(admin)
    texts = set()
    for client_id, secret in (
        (mine.client_id, other.registration_secret),
        ("no-such-client", mine.registration_secret),
        (mine.client_id, "not even a secret"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await admin.clients.CollectClientCredentials(
                client_pb.CollectClientCredentialsRequest(
                    client_id=client_id, registration_secret=secret, request_id="r"
                )
            )
        assert reason_of(caught.value) == "CREDENTIALS_INVALID"
        texts.add(caught.value.details())
    assert len(texts) == 1


async def test_who_registered_does_not_review(wire: Wire) -> None:
    admin = await wire.admin()
    applicant = await registered(admin, metadata=admin.metadata)
    review = client_pb.ReviewClientRequest(
        client_id=applicant.client_id, approve=client_pb.ApproveClient()
    )
    assert await refused(admin.clients.ReviewClient(review, metadata=admin.metadata)) == (
        "SELF_REVIEW"
    )


async def test_a_rotated_secret_and_a_disabled_client_on_the_wire(wire: Wire) -> None:
    admin, old = await wire.admin(), await wire.caller("demo-web")
    rotate = client_pb.RotateClientSecretRequest(request_id="7d21", overlap=Duration())
    rotated = await old.clients.RotateClientSecret(rotate, metadata=old.metadata)
    assert not rotated.HasField("old_secret_expires_at")
    me = client_pb.GetClientRequest()
    assert await refused(old.clients.GetClient(me, metadata=old.metadata)) == (
        "CALLER_UNAUTHENTICATED"
    )
    new = await wire.caller("demo-web", rotated.client_secret)
    assert (await new.clients.GetClient(me, metadata=new.metadata)).client.client_id == "demo-web"
    disable = client_pb.DisableClientRequest(client_id="demo-web", note="for the test")
    disabled = await admin.clients.DisableClient(disable, metadata=admin.metadata)
    assert disabled.client.state == client_pb.CLIENT_STATE_DISABLED
    assert disabled.revision > 0
    assert await refused(new.clients.GetClient(me, metadata=new.metadata)) == (
        "CALLER_UNAUTHENTICATED"
    )
    enable = client_pb.EnableClientRequest(client_id="demo-web")
    enabled = await admin.clients.EnableClient(enable, metadata=admin.metadata)
    assert enabled.client.state == client_pb.CLIENT_STATE_ACTIVE
    assert (await new.clients.GetClient(me, metadata=new.metadata)).client.client_id == "demo-web"


async def test_a_policy_is_read_changed_and_refused_by_field(wire: Wire) -> None:
    admin = await wire.admin()
    listing = client_pb.ListClientsRequest(state=client_pb.CLIENT_STATE_ACTIVE, page_size=4)
    first = await admin.clients.ListClients(listing, metadata=admin.metadata)
    assert len(first.clients) == 4
    assert all(client.HasField("secret_created_at") for client in first.clients)
    listing.page_token = first.next_page_token
    rest = await admin.clients.ListClients(listing, metadata=admin.metadata)
    policies = {client.client_id: client.policy for client in (*first.clients, *rest.clients)}
    web = policies["demo-web"]
    update = client_pb.UpdateClientPolicyRequest(client_id="demo-web", policy=web)
    unchanged = await admin.clients.UpdateClientPolicy(update, metadata=admin.metadata)
    assert unchanged.client.policy == web
    update.policy.scopes.append("not a scope")
    call = admin.clients.UpdateClientPolicy(update, metadata=admin.metadata)
    assert await refused_field(call) == f"policy.scopes[{len(web.scopes)}]"


async def test_a_user_changes_their_password_and_keeps_one_session(wire: Wire) -> None:
    world = wire.world
    web, gateway = await wire.caller("demo-web"), await wire.caller("demo-gateway")
    kept = await web.login(world.username, world.password, audiences=["orders"])
    lost = await web.login(world.username, world.password, audiences=["orders"])
    request = user_pb.SetPasswordRequest(
        session_token=kept.session_token, new_password=NEW_PASSWORD
    )
    changed = await web.users.SetPassword(request, metadata=web.metadata)
    assert changed.user.username == world.username
    answer = await gateway.validate(lost.access_tokens[0].token, min_revision=changed.revision)
    assert answer.verdict == types.VERDICT_REVOKED
    assert await refused(web.exchange(lost.session_token)) == "TOKEN_REVOKED"
    successor = await web.exchange(kept.session_token, audiences=["orders"])
    assert await gateway.verdict(successor.tokens.access_tokens[0].token) == "ACTIVE"
    assert await refused(web.login(world.username, world.password)) == "CREDENTIALS_INVALID"
    assert (await web.login(world.username, NEW_PASSWORD)).session_id
    by_id = user_pb.SetPasswordRequest(user_id=changed.user.user_id, new_password=NEW_PASSWORD)
    assert await refused(web.users.SetPassword(by_id, metadata=web.metadata)) == (
        "PERMISSION_MISSING"
    )


async def test_a_user_s_life_on_the_wire(wire: Wire) -> None:
    admin, web = await wire.admin(), await wire.caller("demo-web")
    users, metadata = admin.users, admin.metadata
    role = user_pb.DefineRoleRequest(role="reader", scopes=["orders.read"])
    assert list((await users.DefineRole(role, metadata=metadata)).role.scopes) == ["orders.read"]
    create = user_pb.CreateUserRequest(
        username="Bob", password=NEW_PASSWORD, roles=["reader", "sales"]
    )
    bob = (await users.CreateUser(create, metadata=metadata)).user
    assert bob.username == "bob"
    assert await refused(users.CreateUser(create, metadata=metadata)) == "USER_EXISTS"
    tokens = await web.login("bob", NEW_PASSWORD, audiences=["orders"])
    assert set(tokens.access_tokens[0].scopes) == {"orders.read", "orders.write"}

    roles = user_pb.SetRolesRequest(user_id=bob.user_id, roles=["reader"])
    await users.SetRoles(roles, metadata=metadata)
    narrowed = await web.exchange(tokens.session_token)
    assert list(narrowed.tokens.access_tokens[0].scopes) == ["orders.read"]
    roles.roles.append("unheard-of")
    assert await refused(users.SetRoles(roles, metadata=metadata)) == "ROLE_NOT_FOUND"

    disable = user_pb.DisableUserRequest(user_id=bob.user_id)
    disabled = await users.DisableUser(disable, metadata=metadata)
    assert disabled.user.state == user_pb.USER_STATE_DISABLED
    assert await refused(web.login("bob", NEW_PASSWORD)) == "CREDENTIALS_INVALID"
    enable = user_pb.EnableUserRequest(user_id=bob.user_id)
    await users.EnableUser(enable, metadata=metadata)
    unlock = user_pb.UnlockUserRequest(user_id=bob.user_id)
    await users.UnlockUser(unlock, metadata=metadata)
    assert (await web.login("bob", NEW_PASSWORD)).session_id

    by_name = user_pb.GetUserRequest(username="BOB")
    assert (await users.GetUser(by_name, metadata=metadata)).user.user_id == bob.user_id
    listed = await users.ListUsers(user_pb.ListUsersRequest(page_size=1), metadata=metadata)
    assert [user.username for user in listed.users] == [wire.world.username]
    assert listed.next_page_token
    named = await users.ListRoles(user_pb.ListRolesRequest(), metadata=metadata)
    assert [role.role for role in named.roles] == ["accounting", "reader", "sales"]
    delete = user_pb.DeleteUserRequest(user_id=bob.user_id)
    assert (await users.DeleteUser(delete, metadata=metadata)).user.username == "bob"
    assert await refused(users.GetUser(by_name, metadata=metadata)) == "USER_NOT_FOUND"


async def test_the_longest_names_are_listed_too(wire: Wire) -> None:
    admin = await wire.admin()
    for tail in ("one", "two", "six"):
        create = user_pb.CreateUserRequest(
            username="\U00020000" * 125 + tail, password=NEW_PASSWORD
        )
        await admin.users.CreateUser(create, metadata=admin.metadata)
    listing, seen = user_pb.ListUsersRequest(page_size=1), 0
    while True:
        page = await admin.users.ListUsers(listing, metadata=admin.metadata)
        seen += len(page.users)
        listing.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert seen == 4


@pytest.mark.parametrize("by", [key_pb.CompromiseKeyRequest, token_pb.RevokeRequest])
async def test_a_compromised_key_on_the_wire(wire: Wire, by: type) -> None:
    world = wire.world
    admin, web = await wire.admin(), await wire.caller("demo-web")
    gateway = await wire.caller("demo-gateway")
    tokens = await web.login(world.username, world.password, audiences=["orders"])
    listing = key_pb.ListKeysRequest(purpose=types.KEY_PURPOSE_SIGNING)
    (key,) = (await admin.keys.ListKeys(listing, metadata=admin.metadata)).keys
    assert key.public_key
    if by is token_pb.RevokeRequest:
        await admin.revoke(key_id=key.kid)
    else:
        request = key_pb.CompromiseKeyRequest(kid=key.kid, note="for the test")
        answer = await admin.keys.CompromiseKey(request, metadata=admin.metadata)
        assert answer.key.state == types.KEY_STATE_COMPROMISED
        assert answer.revision > 0
    assert await gateway.verdict(tokens.access_tokens[0].token) in ("REVOKED", "UNKNOWN")
    fresh = await web.exchange(tokens.session_token, audiences=["orders"])
    assert await gateway.verdict(fresh.tokens.access_tokens[0].token) == "ACTIVE"
    successors = (await admin.keys.ListKeys(listing, metadata=admin.metadata)).keys
    assert [one.state for one in successors] == [
        types.KEY_STATE_ACTIVE,
        types.KEY_STATE_COMPROMISED,
    ]


async def test_a_rotated_key_is_announced_on_the_wire(wire: Wire) -> None:
    admin = await wire.admin()
    request = key_pb.RotateKeyRequest(purpose=types.KEY_PURPOSE_MINT, note="for the test")
    made = (await admin.keys.RotateKey(request, metadata=admin.metadata)).key
    assert made.state == types.KEY_STATE_PENDING
    assert made.activates_at.seconds > made.created_at.seconds
    assert await refused(admin.keys.RotateKey(request, metadata=admin.metadata)) == "KEY_STATE"
    request.algorithm = "EdDSA"
    assert await refused_field(admin.keys.RotateKey(request, metadata=admin.metadata)) == (
        "algorithm"
    )


async def test_what_is_malformed_is_refused_by_name(wire: Wire) -> None:
    admin = await wire.admin()
    clients, users, keys, metadata = admin.clients, admin.users, admin.keys, admin.metadata
    calls: tuple[tuple[str, Any, Any], ...] = (
        ("decision", clients.ReviewClient, client_pb.ReviewClientRequest(client_id="x")),
        ("client_id", clients.DisableClient, client_pb.DisableClientRequest()),
        ("client_id", clients.GetClient, client_pb.GetClientRequest(client_id="UPPER")),
        ("policy", clients.UpdateClientPolicy, client_pb.UpdateClientPolicyRequest(client_id="x")),
        ("request_id", clients.RotateClientSecret, client_pb.RotateClientSecretRequest()),
        ("page_size", clients.ListClients, client_pb.ListClientsRequest(page_size=501)),
        ("page_token", clients.ListClients, client_pb.ListClientsRequest(page_token="?")),
        ("page_token", users.ListRoles, user_pb.ListRolesRequest(page_token="?")),
        ("page_token", keys.ListKeys, key_pb.ListKeysRequest(page_token="?")),
        ("by", users.GetUser, user_pb.GetUserRequest()),
        ("by", users.SetPassword, user_pb.SetPasswordRequest(new_password=NEW_PASSWORD)),
        ("new_password", users.SetPassword, user_pb.SetPasswordRequest(user_id="x")),
        ("user_id", users.DeleteUser, user_pb.DeleteUserRequest(user_id="me")),
        ("role", users.DefineRole, user_pb.DefineRoleRequest(role="No Role")),
        ("purpose", keys.RotateKey, key_pb.RotateKeyRequest()),
        ("kid", keys.CompromiseKey, key_pb.CompromiseKeyRequest(kid="x")),
    )
    for field, method, request in calls:
        assert await refused_field(method(request, metadata=metadata)) == field


async def test_without_its_permission_no_method_answers(wire: Wire) -> None:
    gateway = await wire.caller("demo-gateway")
    metadata = gateway.metadata
    user_id = "6b1f8b0e-4a53-4d0a-9d7e-1f6f2a3b4c5d"
    calls = (
        gateway.clients.ListClients(client_pb.ListClientsRequest(), metadata=metadata),
        gateway.clients.RotateClientSecret(
            client_pb.RotateClientSecretRequest(client_id="demo-web", request_id="r"),
            metadata=metadata,
        ),
        gateway.users.ListUsers(user_pb.ListUsersRequest(), metadata=metadata),
        gateway.users.DeleteUser(user_pb.DeleteUserRequest(user_id=user_id), metadata=metadata),
        gateway.keys.ListKeys(key_pb.ListKeysRequest(), metadata=metadata),
        gateway.keys.CompromiseKey(key_pb.CompromiseKeyRequest(kid="0" * 16), metadata=metadata),
    )
    for call in calls:
        assert await refused(call) == "PERMISSION_MISSING"
