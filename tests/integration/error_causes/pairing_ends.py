"""Causes of the errors of the calls that follow, approve, end and collect a pairing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.integration.error_causes.bad_tokens import bad_token, presenting
from tests.integration.error_causes.pairings import start
from tests.integration.error_causes.scene import ADMIN, APP, NO_ID, WEB, Cause, Scene
from tests.support.devices import Pair, other_number
from tokenservice.v1 import client_service_pb2 as clients
from tokenservice.v1 import pairing_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

APPROVE, COLLECT = "PairingService.ApprovePairing", "PairingService.CollectPairing"
_OTHERS = ("WatchPairing", "GetPairing", "DenyPairing", "CancelPairing")


async def _shown(scene: Scene) -> Pair:
    """A pairing that nobody scanned, for calls that change nothing."""
    return await scene.once("unscanned", start)


async def _scanned(scene: Scene, token: str | None = None) -> Pair:
    pair = await start(scene)
    await pair.scanned(session_token=token or await scene.live())
    return pair


async def approved(scene: Scene, client_id: str = "", **request: Any) -> Pair:
    client_id = client_id or await scene.app()
    token = (await scene.login(client_id)).session_token
    pair = await start(scene, client_id, **request)
    await pair.scanned(session_token=token)
    await pair.approve(token)
    return pair


async def _ask(scene: Scene, client_id: str, method: str, proof: dict[str, Any]) -> object:
    request = getattr(pb, f"{method}Request")(**proof)
    api = scene.api(client_id)
    call = getattr(api.pairings, method)(request, metadata=api.metadata)
    return await (call.read() if method == "WatchPairing" else call)


def _of_no_pairing(method: str) -> Cause:
    async def cause(scene: Scene) -> object:
        proof = {**(await _shown(scene)).starter, "pairing_id": NO_ID}
        return await _ask(scene, await scene.app(), method, proof)

    return cause


def _by_another(method: str) -> Cause:
    """The right secret, in another client's hands."""

    async def cause(scene: Scene) -> object:
        return await _ask(scene, WEB, method, (await _shown(scene)).starter)

    return cause


async def _poll(scene: Scene) -> object:
    pair = await start(scene)
    for _ in range(50):  # once a second is what it may do
        await pair.state()
    return None


async def _deny_cancelled(scene: Scene) -> object:
    pair = await start(scene)
    await pair.cancel()
    return await _ask(scene, await scene.app(), "DenyPairing", pair.starter)


async def _cancel_denied(scene: Scene) -> object:
    pair = await _scanned(scene)
    await pair.deny()
    return await pair.cancel()


async def _approve(scene: Scene, token: str) -> object:
    pair = await scene.once("scanned", _scanned)
    return await pair.approve(token, "00")


async def _approve_by_another(scene: Scene) -> object:
    """Another session of the same user than the one that scanned."""
    pair = await scene.once("scanned", _scanned)
    return await pair.approve((await scene.login()).session_token, "00")


async def _approve_nothing(scene: Scene) -> object:
    pair = await scene.once("scanned", _scanned)
    gone = replace(pair, started=pb.StartPairingResponse(pairing_id=NO_ID))
    return await gone.approve(await scene.live(), "00")


async def _approve_cancelled(scene: Scene) -> object:
    pair = await _scanned(scene)
    await pair.cancel()
    return await pair.approve(await scene.live(), "00")


async def _approve_wrongly(scene: Scene) -> object:
    pair = await _scanned(scene)
    return await pair.approve(await scene.live(), other_number(await pair.number()))


async def _approve_late(scene: Scene) -> object:
    token = await bad_token(scene, "STEP_UP_REQUIRED")
    pair = await _scanned(scene, token)
    return await pair.approve(token, "00")


async def _collect_nothing(scene: Scene) -> object:
    return await _ask(
        scene,
        await scene.app(),
        "CollectPairing",
        {**(await _shown(scene)).starter, "pairing_id": NO_ID},
    )


async def _collect_early(scene: Scene) -> object:
    return await (await _shown(scene)).collect()


async def _collect_by_another(scene: Scene) -> object:
    return await _ask(scene, WEB, "CollectPairing", (await _shown(scene)).starter)


def _collecting_after(
    change: Callable[[clients.UpdateClientPolicyRequest], None],
) -> Cause:
    """The client's policy was narrowed between the approval and the collection."""

    async def cause(scene: Scene) -> object:
        client_id = await scene.client(APP)
        pair = await approved(scene, client_id, audiences=["orders"], scopes=["orders.read"])
        found = await scene.call(
            ADMIN, "clients", "GetClient", clients.GetClientRequest(client_id=client_id)
        )
        request = clients.UpdateClientPolicyRequest(client_id=client_id, policy=found.client.policy)
        change(request)
        await scene.call(ADMIN, "clients", "UpdateClientPolicy", request)
        return await pair.collect()

    return cause


def _keep_only(name: str, *values: Any) -> Callable[[clients.UpdateClientPolicyRequest], None]:
    def change(request: clients.UpdateClientPolicyRequest) -> None:
        del getattr(request.policy, name)[:]
        getattr(request.policy, name).extend(values)

    return change


CAUSES: dict[tuple[str, str], Cause] = {
    **{
        (f"PairingService.{method}", reason): cause(method)
        for method in _OTHERS
        for reason, cause in {
            "PAIRING_NOT_FOUND": _of_no_pairing,
            "CLIENT_MISMATCH": _by_another,
        }.items()
    },
    ("PairingService.GetPairing", "RATE_LIMITED"): _poll,
    ("PairingService.DenyPairing", "PAIRING_STATE"): _deny_cancelled,
    ("PairingService.CancelPairing", "PAIRING_STATE"): _cancel_denied,
    **presenting(APPROVE, _approve, "CREDENTIAL_NOT_ALLOWED"),
    (APPROVE, "CLIENT_MISMATCH"): _approve_by_another,
    (APPROVE, "PAIRING_NOT_FOUND"): _approve_nothing,
    (APPROVE, "PAIRING_STATE"): _approve_cancelled,
    (APPROVE, "CHECK_NUMBER_WRONG"): _approve_wrongly,
    (APPROVE, "STEP_UP_REQUIRED"): _approve_late,
    (COLLECT, "PAIRING_NOT_FOUND"): _collect_nothing,
    (COLLECT, "CLIENT_MISMATCH"): _collect_by_another,
    (COLLECT, "PAIRING_STATE"): _collect_early,
    (COLLECT, "PLATFORM_NOT_ALLOWED"): _collecting_after(
        _keep_only("platforms", types.PLATFORM_API)
    ),
    (COLLECT, "AUDIENCE_NOT_ALLOWED"): _collecting_after(_keep_only("audiences", "billing")),
    (COLLECT, "SCOPE_NOT_ALLOWED"): _collecting_after(_keep_only("scopes", "billing.read")),
}
