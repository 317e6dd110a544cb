"""Causes of KEY_STATE: tokens that cannot be made, since their algorithm has no key.

No call lets such a policy in; here one is written past every check. Each cause shows besides that
nothing was consumed: once the policy is mended, the same call succeeds.
"""

import os
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from tests.integration.error_causes.pairing_ends import approved
from tests.integration.error_causes.scene import ADMIN, APP, Cause, Scene
from tokenservice.v1 import client_service_pb2 as clients
from tokenservice.v1 import token_service_pb2 as pb

Call = Callable[[], Awaitable[object]]


async def _spoil(scene: Scene, client_id: str) -> None:
    await scene.sql(
        "UPDATE clients SET policy = jsonb_set(policy, '{signing_algorithm}', '\"ES256\"')"
        " WHERE client_id = $1",
        client_id,
    )
    await scene.sql("UPDATE trust_head SET config_version = config_version + 1")


async def _mend(scene: Scene, client_id: str) -> None:
    wanted = clients.GetClientRequest(client_id=client_id)
    found = await scene.call(ADMIN, "clients", "GetClient", wanted)
    assert found.client.longest_token == 0
    found.client.policy.signing_algorithm = "EdDSA"
    request = clients.UpdateClientPolicyRequest(client_id=client_id, policy=found.client.policy)
    changed = await scene.call(ADMIN, "clients", "UpdateClientPolicy", request)
    assert changed.client.longest_token > 0


def _without_key(prepare: Callable[[Scene, str], Awaitable[Call]]) -> Cause:
    async def cause(scene: Scene) -> object:
        client_id = await scene.client(APP)
        call = await prepare(scene, client_id)
        await _spoil(scene, client_id)
        before = await _rows(scene, client_id)
        try:
            return await call()
        except grpc.aio.AioRpcError:
            assert await _rows(scene, client_id) == before
            await _mend(scene, client_id)
            await call()
            raise

    return cause


async def _rows(scene: Scene, client_id: str) -> list[Any]:
    return await scene.database.fetch(
        "SELECT session_id, generation, last_active_at FROM sessions WHERE client_id = $1",
        client_id,
    )


async def _issue(scene: Scene, client_id: str) -> Call:
    return lambda: scene.login(client_id)


async def _exchange(scene: Scene, client_id: str) -> Call:
    token = (await scene.login(client_id)).session_token
    request = pb.ExchangeRequest(token=token, exchange_id=os.urandom(16))
    return lambda: scene.call(client_id, "tokens", "Exchange", request)


async def _reauthenticate(scene: Scene, client_id: str) -> Call:
    token = (await scene.login(client_id)).session_token
    person = pb.PasswordCredential(username=scene.world.username, password=scene.world.password)
    request = pb.ReauthenticateRequest(token=token, password=person, exchange_id=os.urandom(16))
    return lambda: scene.call(client_id, "tokens", "Reauthenticate", request)


async def _collect(scene: Scene, client_id: str) -> Call:
    pair = await approved(scene, client_id)
    once = os.urandom(16)
    return lambda: pair.collect(once)


CAUSES: dict[tuple[str, str], Cause] = {
    ("TokenService.Issue", "KEY_STATE"): _without_key(_issue),
    ("TokenService.Exchange", "KEY_STATE"): _without_key(_exchange),
    ("TokenService.Reauthenticate", "KEY_STATE"): _without_key(_reauthenticate),
    ("PairingService.CollectPairing", "KEY_STATE"): _without_key(_collect),
}
