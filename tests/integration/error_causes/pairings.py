"""Causes of the errors of StartPairing and ScanPairing."""

import os
from dataclasses import replace
from typing import Any

from tests.integration.error_causes.bad_tokens import presenting
from tests.integration.error_causes.scene import APP, NOBODY, WEB, Cause, Scene
from tests.support.devices import FAR_PHONE, MAP, PAM, PC, Pair
from token_service.domain.clients.policy import ClientPolicy
from token_service.domain.kinds import PairingNetworkRule, Platform
from tokenservice.v1 import pairing_service_pb2 as pb

START, SCAN = "PairingService.StartPairing", "PairingService.ScanPairing"


async def start(scene: Scene, caller: str = "", direction: int = MAP, **request: Any) -> Pair:
    """A pairing whose both ends are one caller, as a rule the app."""
    caller = caller or await scene.app()
    asked = pb.StartPairingRequest(direction=direction, device=PC, **request)  # type: ignore[arg-type]
    started = await scene.call(caller, "pairings", "StartPairing", asked)
    api = scene.api(caller)
    return Pair(api, api, direction, started)


def _starting(**request: Any) -> Cause:
    async def cause(scene: Scene) -> object:
        return await start(scene, **request)

    return cause


def _for_another(which: str) -> Cause:
    """The caller may pair for a client of which no sessions can be had."""

    async def cause(scene: Scene) -> object:
        client_id = {"pending": scene.pending, "disabled": scene.disabled}.get(which)
        other = await client_id() if client_id else NOBODY
        caller = await scene.client(replace(APP, may_pair_for=frozenset({other})))
        return await start(scene, caller, client_id=other)

    return cause


def _as_one_with(policy: ClientPolicy, **request: Any) -> Cause:
    async def cause(scene: Scene) -> object:
        return await start(scene, await scene.client(policy), **request)

    return cause


async def _start_pam(scene: Scene, token: str) -> object:
    return await start(scene, direction=PAM, session_token=token)


async def _start_direct(scene: Scene) -> object:
    """Showing the code is the approval, from a login that is too old for it."""
    client_id = await scene.client(replace(APP, pam_direct=True))
    made = await scene.login(client_id)
    await scene.sql(
        "UPDATE sessions SET auth_time = auth_time - interval '1 day'"
        " WHERE session_id = $1::text::uuid",
        made.session_id,
    )
    return await start(scene, client_id, PAM, session_token=made.session_token)


async def _scan(scene: Scene, token: str) -> object:
    """A phone whose session is no good."""
    pair = await scene.once("shown code", start)
    return await pair.scanned(session_token=token)


async def _scan_nothing(scene: Scene) -> object:
    request = pb.ScanPairingRequest(
        code="AAAAAA-AAAAAA-AAAAAA", scan_id=os.urandom(16), session_token=await scene.live()
    )
    return await scene.call(await scene.app(), "pairings", "ScanPairing", request)


async def _scan_from_afar(scene: Scene) -> object:
    policy = replace(APP, pairing_network=PairingNetworkRule.DENY)
    client_id = await scene.client(policy)
    token = (await scene.login(client_id)).session_token
    pair = await start(scene, client_id)
    return await pair.scanned(session_token=token, device=FAR_PHONE)


CAUSES: dict[tuple[str, str], Cause] = {
    **presenting(START, _start_pam, "CREDENTIAL_NOT_ALLOWED"),
    (START, "STEP_UP_REQUIRED"): _start_direct,
    (START, "CLIENT_MISMATCH"): _starting(client_id=WEB),
    (START, "CLIENT_NOT_FOUND"): _for_another("nobody"),
    (START, "CLIENT_NOT_APPROVED"): _for_another("pending"),
    (START, "CLIENT_DISABLED"): _for_another("disabled"),
    (START, "PLATFORM_NOT_ALLOWED"): _as_one_with(
        replace(APP, platforms=frozenset({Platform.API}))
    ),
    (START, "AUDIENCE_NOT_ALLOWED"): _starting(audiences=["payroll"]),
    (START, "SCOPE_NOT_ALLOWED"): _starting(scopes=["payroll.read"]),
    **presenting(SCAN, _scan, "CREDENTIAL_NOT_ALLOWED"),
    (SCAN, "PAIRING_STATE"): _scan_nothing,
    (SCAN, "PAIRING_NETWORK_MISMATCH"): _scan_from_afar,
}
