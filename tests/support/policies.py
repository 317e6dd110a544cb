"""The policy of a client, read and written over the API."""

from typing import Any

from google.protobuf.duration_pb2 import Duration

from tests.support.api import Api
from tokenservice.v1 import client_policy_pb2 as policies
from tokenservice.v1 import client_service_pb2 as clients


async def client_of(api: Api, client_id: str) -> clients.Client:
    """A client as it is now."""
    request = clients.GetClientRequest(client_id=client_id)
    return (await api.clients.GetClient(request, metadata=api.metadata)).client


async def put_policy(
    api: Api, client_id: str, policy: policies.ClientPolicy
) -> clients.UpdateClientPolicyResponse:
    """Replace a policy."""
    request = clients.UpdateClientPolicyRequest(client_id=client_id, policy=policy)
    return await api.clients.UpdateClientPolicy(request, metadata=api.metadata)


async def change_policy(api: Api, client_id: str, **changes: Any) -> None:
    """Replace parts of a policy."""
    policy = (await client_of(api, client_id)).policy
    for name, value in changes.items():
        if isinstance(value, Duration):
            getattr(policy, name).CopyFrom(value)
        elif isinstance(value, list):
            del getattr(policy, name)[:]
            getattr(policy, name).extend(value)
        else:
            setattr(policy, name, value)
    await put_policy(api, client_id, policy)
