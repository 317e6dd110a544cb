"""Causes of the errors of ClientService."""

import secrets
from typing import Any

from tests.integration.error_causes.scene import ADMIN, NOBODY, Cause, Scene
from tests.support.api import Api, basic
from token_service.domain.clients.policy import ClientPolicy
from tokenservice.core.tokens.opaque import REGISTRATION_SECRET_CODE, format_opaque
from tokenservice.v1 import client_policy_pb2
from tokenservice.v1 import client_service_pb2 as pb
from tokenservice.v1 import token_service_pb2 as tokens
from tokenservice.v1 import types_pb2 as types

LIVE_SECRETS = 8
"""That a client may have; a rotation beyond them is refused."""

REVIEW, COLLECT, ROTATE, UPDATE = (
    f"ClientService.{method}"
    for method in (
        "ReviewClient",
        "CollectClientCredentials",
        "RotateClientSecret",
        "UpdateClientPolicy",
    )
)


def _of_nobody(method: str, request: Any) -> Cause:
    async def cause(scene: Scene) -> object:
        request.client_id = NOBODY
        return await scene.call(ADMIN, "clients", method, request)

    return cause


def _of_pending(method: str, request: Any) -> Cause:
    async def cause(scene: Scene) -> object:
        request.client_id = await scene.pending()
        return await scene.call(ADMIN, "clients", method, request)

    return cause


def _rejection() -> pb.ReviewClientRequest:
    return pb.ReviewClientRequest(reject=pb.RejectClient())


async def _review_again(scene: Scene) -> object:
    request = _rejection()
    request.client_id = (await scene.approved()).client_id
    return await scene.call(ADMIN, "clients", "ReviewClient", request)


async def _review_own(scene: Scene) -> object:
    request = _rejection()
    request.client_id = await scene.pending()
    return await scene.call(await scene.registrant(), "clients", "ReviewClient", request)


async def _add_to_own(scene: Scene) -> object:
    registrant = await scene.registrant()
    found = await scene.call(registrant, "clients", "GetClient", pb.GetClientRequest())
    request = pb.UpdateClientPolicyRequest(client_id=registrant, policy=found.client.policy)
    request.policy.audiences.append("payroll")
    return await scene.call(registrant, "clients", "UpdateClientPolicy", request)


def _certifying(method: str) -> Cause:
    async def cause(scene: Scene) -> object:
        issue = tokens.IssueRequest(
            client=tokens.ClientCredential(),
            platform=types.PLATFORM_API,
            audiences=["token-service"],
        )
        issued = await scene.call(ADMIN, "tokens", "Issue", issue)
        if method == "ReviewClient":
            client_id = await scene.pending()
            request: Any = pb.ReviewClientRequest(client_id=client_id, approve=pb.ApproveClient())
        else:
            client_id = await scene.client(ClientPolicy())
            request = pb.UpdateClientPolicyRequest(client_id=client_id)
        request.policy.certificate_thumbprints.append(bytes(32))
        async with Api(scene.address, f"Bearer {issued.tokens.access_tokens[0].token}") as api:
            return await getattr(api.clients, method)(request, metadata=api.metadata)

    return cause


async def _collect(scene: Scene, made: pb.RegisterClientResponse) -> Any:
    request = pb.CollectClientCredentialsRequest(
        client_id=made.client_id,
        registration_secret=made.registration_secret,
        request_id=secrets.token_hex(8),
    )
    return await scene.call(
        await scene.registrant(), "clients", "CollectClientCredentials", request
    )


async def _collect_wrongly(scene: Scene) -> object:
    secret = format_opaque(REGISTRATION_SECRET_CODE, bytes(32))
    client_id = await scene.pending()
    return await _collect(
        scene, pb.RegisterClientResponse(client_id=client_id, registration_secret=secret)
    )


async def _collect_early(scene: Scene) -> object:
    return await _collect(scene, await scene.registered())


async def _collect_disabled(scene: Scene) -> object:
    made = await scene.approved()
    request = pb.DisableClientRequest(client_id=made.client_id)
    await scene.call(ADMIN, "clients", "DisableClient", request)
    return await _collect(scene, made)


async def _collect_again(scene: Scene) -> object:
    made = await scene.approved()
    collected = await _collect(scene, made)
    async with Api(scene.address, basic(collected.client_id, collected.client_secret)) as first_use:
        await first_use.clients.GetClient(pb.GetClientRequest(), metadata=first_use.metadata)
    # The first use has spent the registration secret.
    return await _collect(scene, made)


async def _rotate_by_token(scene: Scene) -> object:
    own = await scene.own("token-service")
    async with Api(scene.address, f"Bearer {own.access_tokens[0].token}") as api:
        request = pb.RotateClientSecretRequest(request_id=secrets.token_hex(8))
        return await api.clients.RotateClientSecret(request, metadata=api.metadata)


async def _rotate_disabled(scene: Scene) -> object:
    request = pb.RotateClientSecretRequest(
        client_id=await scene.disabled(), request_id=secrets.token_hex(8)
    )
    return await scene.call(ADMIN, "clients", "RotateClientSecret", request)


async def _rotate_on(scene: Scene) -> object:
    client_id = await scene.client(ClientPolicy())
    for _ in range(LIVE_SECRETS):
        request = pb.RotateClientSecretRequest(client_id=client_id, request_id=secrets.token_hex(8))
        await scene.call(ADMIN, "clients", "RotateClientSecret", request)
    return None


async def _register_again(scene: Scene) -> object:
    request = pb.RegisterClientRequest(
        name="Gateway", contact="ops@example.com", client_id=f"gateway-{secrets.token_hex(4)}"
    )
    await scene.call(ADMIN, "clients", "RegisterClient", request)
    return await scene.call(ADMIN, "clients", "RegisterClient", request)


CAUSES: dict[tuple[str, str], Cause] = {
    ("ClientService.RegisterClient", "CLIENT_EXISTS"): _register_again,
    (REVIEW, "CLIENT_NOT_FOUND"): _of_nobody("ReviewClient", _rejection()),
    (REVIEW, "CLIENT_STATE"): _review_again,
    (REVIEW, "SELF_REVIEW"): _review_own,
    (REVIEW, "CREDENTIAL_NOT_ALLOWED"): _certifying("ReviewClient"),
    (COLLECT, "CREDENTIALS_INVALID"): _collect_wrongly,
    (COLLECT, "CLIENT_NOT_APPROVED"): _collect_early,
    (COLLECT, "CLIENT_DISABLED"): _collect_disabled,
    (COLLECT, "CREDENTIALS_COLLECTED"): _collect_again,
    (ROTATE, "CREDENTIAL_NOT_ALLOWED"): _rotate_by_token,
    (ROTATE, "CLIENT_NOT_FOUND"): _of_nobody(
        "RotateClientSecret", pb.RotateClientSecretRequest(request_id="one")
    ),
    (ROTATE, "CLIENT_STATE"): _of_pending(
        "RotateClientSecret", pb.RotateClientSecretRequest(request_id="one")
    ),
    (ROTATE, "CLIENT_DISABLED"): _rotate_disabled,
    (ROTATE, "RATE_LIMITED"): _rotate_on,
    ("ClientService.DisableClient", "CLIENT_NOT_FOUND"): _of_nobody(
        "DisableClient", pb.DisableClientRequest()
    ),
    ("ClientService.DisableClient", "CLIENT_STATE"): _of_pending(
        "DisableClient", pb.DisableClientRequest()
    ),
    ("ClientService.EnableClient", "CLIENT_NOT_FOUND"): _of_nobody(
        "EnableClient", pb.EnableClientRequest()
    ),
    ("ClientService.EnableClient", "CLIENT_STATE"): _of_pending(
        "EnableClient", pb.EnableClientRequest()
    ),
    ("ClientService.GetClient", "CLIENT_NOT_FOUND"): _of_nobody("GetClient", pb.GetClientRequest()),
    (UPDATE, "CLIENT_NOT_FOUND"): _of_nobody(
        "UpdateClientPolicy",
        pb.UpdateClientPolicyRequest(policy=client_policy_pb2.ClientPolicy()),
    ),
    (UPDATE, "CLIENT_STATE"): _of_pending(
        "UpdateClientPolicy",
        pb.UpdateClientPolicyRequest(policy=client_policy_pb2.ClientPolicy()),
    ),
    (UPDATE, "SELF_REVIEW"): _add_to_own,
    (UPDATE, "CREDENTIAL_NOT_ALLOWED"): _certifying("UpdateClientPolicy"),
}
