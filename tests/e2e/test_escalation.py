"""Nobody lends itself power through somebody else."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from tests.support.api import Api, basic
from tests.support.certificates import issue, server_files
from tests.support.fixtures import StartApplication, StartServer
from tests.support.outcomes import all_at_once, outcome
from tests.support.policies import client_of, put_policy
from tests.support.world import World
from tokenservice import Tls
from tokenservice.v1 import client_policy_pb2 as policies
from tokenservice.v1 import client_service_pb2 as pb
from tokenservice.v1 import key_service_pb2 as keys
from tokenservice.v1 import token_service_pb2 as token_pb
from tokenservice.v1 import types_pb2 as types

KEYS = policies.ClientPolicy(platforms=[types.PLATFORM_API], permissions=["admin.keys"])
CLIENTS = policies.ClientPolicy(platforms=[types.PLATFORM_API], permissions=["admin.clients"])
REFUSED = "PERMISSION_MISSING"


async def registered(api: Api, policy: policies.ClientPolicy) -> pb.RegisterClientResponse:
    """A registration by nobody in particular."""
    return await api.clients.RegisterClient(
        pb.RegisterClientRequest(name="Tool", contact="tool@example.com", policy=policy)
    )


async def let_in(admin: Api, policy: policies.ClientPolicy) -> tuple[str, str]:
    """The id and the authorization of a client that a full administrator approved."""
    made = await registered(admin, policy)
    client_id = made.client_id
    await admin.clients.ReviewClient(
        pb.ReviewClientRequest(client_id=client_id, approve=pb.ApproveClient()),
        metadata=admin.metadata,
    )
    collected = await admin.clients.CollectClientCredentials(
        pb.CollectClientCredentialsRequest(
            client_id=client_id, registration_secret=made.registration_secret, request_id="1"
        )
    )
    return client_id, basic(client_id, collected.client_secret)


async def switch(api: Api, client_id: str, *, enabled: bool) -> Any:
    """Enable or disable a client."""
    if enabled:
        enable = pb.EnableClientRequest(client_id=client_id)
        return await api.clients.EnableClient(enable, metadata=api.metadata)
    disable = pb.DisableClientRequest(client_id=client_id)
    return await api.clients.DisableClient(disable, metadata=api.metadata)


async def rotate(api: Api, client_id: str) -> pb.RotateClientSecretResponse:
    """Get a new secret of a client."""
    request = pb.RotateClientSecretRequest(client_id=client_id, request_id="1")
    return await api.clients.RotateClientSecret(request, metadata=api.metadata)


@pytest.fixture
async def admin(world: World, start_application: StartApplication) -> AsyncIterator[Api]:
    """A client with every permission."""
    server = await start_application()
    async with world.api(server.address, "demo-admin") as api:
        yield api


@pytest.fixture
async def reviewer(admin: Api) -> AsyncIterator[tuple[str, Api]]:
    """A client that administers clients and nothing else, and its id."""
    client_id, authorization = await let_in(admin, CLIENTS)
    async with Api(admin.address, authorization) as api:
        yield client_id, api


async def test_it_takes_over_only_what_is_no_more_powerful(reviewer: tuple[str, Api]) -> None:
    _, api = reviewer
    assert await outcome(rotate(api, "demo-admin")) == REFUSED
    assert (await rotate(api, "demo-web")).client_secret


async def test_it_does_not_approve_what_it_may_not_do(reviewer: tuple[str, Api]) -> None:
    _, api = reviewer
    asking = await registered(api, KEYS)
    approval = pb.ReviewClientRequest(client_id=asking.client_id, approve=pb.ApproveClient())
    refused = await outcome(api.clients.ReviewClient(approval, metadata=api.metadata))
    assert refused == REFUSED
    approval.policy.CopyFrom(CLIENTS)
    await api.clients.ReviewClient(approval, metadata=api.metadata)


@pytest.mark.parametrize("strong", ["tokens.revoke_any", "admin.users", "admin.keys", "audit.read"])
async def test_it_changes_nothing_about_a_stronger_client(
    admin: Api, reviewer: tuple[str, Api], strong: str
) -> None:
    _, api = reviewer
    client_id, _ = await let_in(admin, policies.ClientPolicy(permissions=[strong]))
    before = await client_of(admin, client_id)
    certified = policies.ClientPolicy(certificate_thumbprints=[bytes(32)], permissions=[strong])
    for policy in (certified, before.policy, policies.ClientPolicy(), CLIENTS):
        assert await outcome(put_policy(api, client_id, policy)) == REFUSED
    for enabled in (False, True):
        assert await outcome(switch(api, client_id, enabled=enabled)) == REFUSED
    assert await client_of(admin, client_id) == before
    await switch(admin, client_id, enabled=False)
    assert await outcome(switch(api, client_id, enabled=True)) == REFUSED


@pytest.mark.parametrize(
    ("target", "change", "reason"),
    [
        ("self", {"protects_audiences": ["orders"]}, "SELF_REVIEW"),
        ("self", {"may_issue_for": ["demo-web"]}, "SELF_REVIEW"),
        ("self", {"password_login": True}, "SELF_REVIEW"),
        ("self", {"certificate_thumbprints": [bytes(32)]}, "SELF_REVIEW"),
        ("self", {"scheme": types.TOKEN_SCHEME_ROLLING}, "SELF_REVIEW"),
        ("self", {"access_format": types.ACCESS_FORMAT_OPAQUE}, "SELF_REVIEW"),
        ("self", {"signing_algorithm": "EdDSA"}, "SELF_REVIEW"),
        ("self", {"access_lifetime": Duration(seconds=301)}, "SELF_REVIEW"),
        ("self", {"rolling_lifetime": Duration(seconds=901)}, "SELF_REVIEW"),
        (
            "self",
            {
                "session_lifetimes": [
                    policies.SessionLifetime(
                        platform=types.PLATFORM_API, replay_window=Duration(seconds=86_400)
                    ),
                    policies.SessionLifetime(
                        platform=types.PLATFORM_WEB, idle=Duration(seconds=1801)
                    ),
                ]
            },
            "SELF_REVIEW",
        ),
        ("demo-web", {"permissions": ["admin.keys"]}, REFUSED),
    ],
)
async def test_it_adds_no_power_to_policies(
    reviewer: tuple[str, Api], target: str, change: dict[str, Any], reason: str
) -> None:
    own_id, api = reviewer
    client_id = own_id if target == "self" else target
    policy = (await client_of(api, client_id)).policy
    assert (await put_policy(api, client_id, policy)).client.policy == policy
    policy.MergeFrom(policies.ClientPolicy(**change))
    assert await outcome(put_policy(api, client_id, policy)) == reason


async def test_it_adds_no_power_to_what_it_opens_sessions_for(admin: Api) -> None:
    asked = policies.ClientPolicy(
        permissions=["admin.clients", "tokens.issue"], may_issue_for=["demo-web"]
    )
    _, authorization = await let_in(admin, asked)
    async with Api(admin.address, authorization) as api:
        policy = (await client_of(api, "demo-web")).policy
        policy.scopes.append("orders.refund")
        assert await outcome(put_policy(api, "demo-web", policy)) == "SELF_REVIEW"
        del policy.scopes[:]
        assert not (await put_policy(api, "demo-web", policy)).client.policy.scopes


async def test_an_access_token_leaves_no_certificate_behind(
    world: World, admin: Api, reviewer: tuple[str, Api]
) -> None:
    async with world.api(admin.address, "demo-admin") as own:
        issued = await own.tokens.Issue(
            types_request(audiences=["token-service"]), metadata=own.metadata
        )
    token = issued.tokens.access_tokens[0].token
    client_id, _ = reviewer
    async with Api(admin.address, f"Bearer {token}") as api:
        policy = (await client_of(api, client_id)).policy
        policy.certificate_thumbprints.append(bytes(32))
        assert await outcome(put_policy(api, client_id, policy)) == "CREDENTIAL_NOT_ALLOWED"
        del policy.certificate_thumbprints[:]
        await put_policy(api, client_id, policy)


def types_request(**request: Any) -> Any:
    """An Issue by the client's own credential."""
    return token_pb.IssueRequest(
        client=token_pb.ClientCredential(), platform=types.PLATFORM_API, **request
    )


async def test_no_certificate_speaks_for_a_stronger_client(
    world: World, start_application: StartApplication, tmp_path: Path
) -> None:
    authority = issue("authority")
    server = await start_application(**server_files(authority, tmp_path, mutual=True))
    own = issue("reviewer", authority)
    tls = Tls(authority.certificate, own.certificate, own.key).channel_credentials()
    secret = basic("demo-admin", world.clients["demo-admin"])
    async with Api(server.address, secret, tls) as admin:
        _, authorization = await let_in(admin, CLIENTS)
    weak_id, strong_id = "demo-api", "demo-admin"
    async with Api(server.address, authorization, tls) as api:
        for client_id, expected in ((strong_id, REFUSED), (weak_id, None)):
            policy = (await client_of(api, client_id)).policy
            policy.certificate_thumbprints.append(bytes.fromhex(own.thumbprint))
            changed = await outcome(put_policy(api, client_id, policy))
            assert changed == expected or expected is None
        calls = {
            client_id: await outcome(
                api.keys.ListKeys(keys.ListKeysRequest(), metadata=(("x-client-id", client_id),))
            )
            for client_id in (strong_id, weak_id)
        }
    assert calls == {strong_id: "CALLER_UNAUTHENTICATED", weak_id: REFUSED}


async def test_who_strengthens_a_client_and_who_takes_it_over_do_not_both_win(
    world: World, start_server: StartServer
) -> None:
    first, second = start_server(), start_server()
    async with world.api(first.address, "demo-admin") as admin:
        _, authorization = await let_in(admin, CLIENTS)
        plain = policies.ClientPolicy(platforms=[types.PLATFORM_API])
        strong = policies.ClientPolicy(platforms=[types.PLATFORM_API], permissions=["admin.keys"])
        taken = policies.ClientPolicy(
            platforms=[types.PLATFORM_API], certificate_thumbprints=[bytes(32)]
        )
        async with Api(second.address, authorization) as api:
            targets = [(await let_in(admin, plain))[0] for _ in range(8)]
            await all_at_once(
                call
                for client_id in targets
                for call in (
                    put_policy(admin, client_id, strong),
                    put_policy(api, client_id, taken),
                    switch(api, client_id, enabled=False),
                )
            )
            for client_id in targets:
                assert await outcome(put_policy(api, client_id, taken)) == REFUSED
                assert await outcome(rotate(api, client_id)) == REFUSED
                policy = (await client_of(admin, client_id)).policy
                assert list(policy.permissions) == ["admin.keys"]
                assert not policy.certificate_thumbprints
