"""Pairings: a phone that is logged in lets a PC in, and may be revoked before or after it."""

import asyncio
import os
from typing import Any

from tests.histories.history import Outcome
from tests.histories.workload.operations import Context, Held
from tokenservice.v1 import pairing_service_pb2 as pb
from tokenservice.v1 import token_service_pb2 as tokens_pb
from tokenservice.v1 import types_pb2 as types


async def pair(context: Context, phone: Held) -> None:
    """One pairing, from the code to the session of the PC, on any node at each step."""
    request = pb.StartPairingRequest(direction=types.PAIRING_DIRECTION_MAP)
    operation, started = await context.call(
        "start_pairing", context.node(), "web", "pairings.StartPairing", request, {}
    )
    if started is None:
        return
    pairing = context.recorder.number(("pairing", started.pairing_id))
    operation.about["pairing"] = pairing
    about = {"pairing": pairing}
    scan = pb.ScanPairingRequest(
        code=started.code, scan_id=os.urandom(16), session_token=phone.token
    )
    scanned = await _ask(context, "scan_pairing", "mobile", "pairings.ScanPairing", scan, about)
    if scanned is None:
        return
    proof = {"pairing_id": started.pairing_id, "watch_secret": started.watch_secret}
    seen = await _ask(
        context,
        "get_pairing",
        "web",
        "pairings.GetPairing",
        pb.GetPairingRequest(**proof),
        about,
    )
    if seen is None:
        return
    if context.random.random() < 0.2:
        await _cancel(context, proof, about)
    approval = pb.ApprovePairingRequest(
        pairing_id=started.pairing_id,
        scan_secret=scanned.scan_secret,
        session_token=phone.token,
        check_number=seen.check_number,
    )
    await _ask(context, "approve_pairing", "mobile", "pairings.ApprovePairing", approval, about)
    await _collect(context, phone, proof, pairing)


async def _ask(
    context: Context, kind: str, client: str, method: str, request: Any, about: dict[str, Any]
) -> Any:
    """The answer of any node; asked again where there was none."""
    for _ in range(4):
        operation, reply = await context.call(
            kind, context.node(), client, method, request, dict(about)
        )
        if reply is not None or operation.outcome is not Outcome.UNKNOWN:
            return reply
        await asyncio.sleep(0.3)
    return None


async def _cancel(context: Context, proof: dict[str, str], about: dict[str, Any]) -> None:
    request = pb.CancelPairingRequest(**proof)
    await context.call(
        "cancel_pairing", context.node(), "web", "pairings.CancelPairing", request, dict(about)
    )


async def _collect(context: Context, phone: Held, proof: dict[str, str], pairing: int) -> None:
    """Several collections at once; sometimes after the phone was revoked."""
    if context.random.random() < 0.3:
        await _revoke(context, phone)
    once = os.urandom(16)
    children = await asyncio.gather(*(_child(context, phone, proof, pairing, once) for _ in "123"))
    child = next((one for one in children if one is not None), None)
    if child is None:
        return
    if context.random.random() < 0.5:
        await _revoke(context, phone)
    await context.exchange(child, context.node(), os.urandom(16))
    context.ended.extend(child.access)


async def _child(
    context: Context, phone: Held, proof: dict[str, str], pairing: int, once: bytes
) -> Held | None:
    request = pb.CollectPairingRequest(exchange_id=once, **proof)
    about = {
        "pairing": pairing,
        "client": "web",
        "parent": phone.session,
        "once": context.recorder.number(once),
    }
    operation, reply = await context.call(
        "collect", context.node(), "web", "pairings.CollectPairing", request, about
    )
    if reply is None:
        return None
    return context.hold(operation, "web", reply.tokens, replayed=reply.replayed)


async def _revoke(context: Context, phone: Held) -> None:
    request = tokens_pb.RevokeRequest(token=phone.token)
    target = ["session", phone.session]
    await context.revoke(target, context.node(), phone.client, request=request)
