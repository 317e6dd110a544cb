"""Nobody lends itself power through somebody else."""

from typing import Any

import pytest

from tests.faults.outcomes import outcome
from tests.support.api import Api, basic
from tests.support.fixtures import StartApplication
from tests.support.world import World
from tokenservice.v1 import client_policy_pb2 as policies
from tokenservice.v1 import client_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

KEYS = policies.ClientPolicy(platforms=[types.PLATFORM_API], permissions=["admin.keys"])
CLIENTS = policies.ClientPolicy(platforms=[types.PLATFORM_API], permissions=["admin.clients"])


async def registered(api: Api, policy: policies.ClientPolicy) -> pb.RegisterClientResponse:
    """A registration by nobody in particular."""
    return await api.clients.RegisterClient(
        pb.RegisterClientRequest(name="Tool", contact="tool@example.com", policy=policy)
    )


async def let_in(admin: Api, address: str, policy: policies.ClientPolicy) -> tuple[str, Api]:
    """A client that a full administrator approved."""
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
    return client_id, Api(address, basic(client_id, collected.client_secret))


@pytest.fixture
async def reviewer(world: World, start_application: StartApplication) -> Any:
    """A client that administers clients and nothing else, and its id."""
    server = await start_application()
    async with world.api(server.address, "demo-admin") as admin:
        client_id, api = await let_in(admin, server.address, CLIENTS)
        async with api:
            yield client_id, api


async def test_it_does_not_take_over_a_more_powerful_client(reviewer: tuple[str, Api]) -> None:
    _, api = reviewer
    stolen = api.clients.RotateClientSecret(
        pb.RotateClientSecretRequest(client_id="demo-admin", request_id="1"), metadata=api.metadata
    )
    assert await outcome(stolen) == "PERMISSION_MISSING"
    harmless = await api.clients.RotateClientSecret(
        pb.RotateClientSecretRequest(client_id="demo-web", request_id="1"), metadata=api.metadata
    )
    assert harmless.client_secret


async def test_it_does_not_approve_what_it_may_not_do(reviewer: tuple[str, Api]) -> None:
    _, api = reviewer
    asking = await registered(api, KEYS)
    approval = pb.ReviewClientRequest(client_id=asking.client_id, approve=pb.ApproveClient())
    refused = await outcome(api.clients.ReviewClient(approval, metadata=api.metadata))
    assert refused == "PERMISSION_MISSING"
    approval.policy.CopyFrom(CLIENTS)
    await api.clients.ReviewClient(approval, metadata=api.metadata)


@pytest.mark.parametrize(
    ("target", "change", "reason"),
    [
        ("self", {"protects_audiences": ["orders"]}, "SELF_REVIEW"),
        ("self", {"may_issue_for": ["demo-web"]}, "SELF_REVIEW"),
        ("self", {"password_login": True}, "SELF_REVIEW"),
        ("demo-web", {"permissions": ["admin.keys"]}, "PERMISSION_MISSING"),
    ],
)
async def test_it_adds_no_power_to_policies(
    reviewer: tuple[str, Api], target: str, change: dict[str, Any], reason: str
) -> None:
    own_id, api = reviewer
    client_id = own_id if target == "self" else target
    found = await api.clients.GetClient(
        pb.GetClientRequest(client_id=client_id), metadata=api.metadata
    )
    policy = found.client.policy
    policy.MergeFrom(policies.ClientPolicy(**change))
    update = api.clients.UpdateClientPolicy(
        pb.UpdateClientPolicyRequest(client_id=client_id, policy=policy), metadata=api.metadata
    )
    assert await outcome(update) == reason
