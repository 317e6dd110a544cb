"""Causes of the errors of CodeService and KeyService."""

import secrets
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from tests.integration.error_causes.scene import ADMIN, NO_ID, NO_KEY, Cause, Scene
from tests.support.api import reason_of
from tokenservice.v1 import code_service_pb2 as pb
from tokenservice.v1 import key_service_pb2 as keys
from tokenservice.v1 import types_pb2 as types

RECIPIENT_LIMIT = 10
"""Codes for one recipient within the window, and more than the wrong ones before a lock."""

ISSUE, REDEEM = "CodeService.IssueCode", "CodeService.RedeemCode"
_OF_THE_CODE = "WHERE code_id = $1::text::uuid"


async def _issue(scene: Scene, **wish: Any) -> pb.IssueCodeResponse:
    asked: dict[str, Any] = {"purpose": "test", "kind": types.CODE_KIND_COUPON, **wish}
    made: pb.IssueCodeResponse = await scene.call(
        await scene.app(), "codes", "IssueCode", pb.IssueCodeRequest(**asked)
    )
    return made


async def _redeem(scene: Scene, code: str, **more: Any) -> object:
    asked = pb.RedeemCodeRequest(purpose="test", code=code, **more)
    return await scene.call(await scene.app(), "codes", "RedeemCode", asked)


async def _too_many(scene: Scene) -> object:
    recipient = secrets.token_hex(8)
    for _ in range(RECIPIENT_LIMIT):
        await _issue(scene, recipient=recipient)
    return await _issue(scene, recipient=recipient)


async def _other_wish(scene: Scene) -> object:
    used = secrets.token_hex(8)
    await _issue(scene, request_id=used)
    return await _issue(scene, request_id=used, max_uses=2)


async def _pepper_gone(scene: Scene) -> object:
    """A retry when nobody can tell the code any more."""
    used = secrets.token_hex(8)
    made = await _issue(scene, request_id=used)
    await scene.sql(f"UPDATE codes SET pepper_id = 'ffffffff' {_OF_THE_CODE}", made.code_id)  # noqa: S608
    return await _issue(scene, request_id=used)


async def _no_code(scene: Scene) -> object:
    return await _redeem(scene, "AAAA-AAAA-AAAA-AAAA")


async def _expired(scene: Scene) -> object:
    made = await _issue(scene, ttl=Duration(seconds=60))
    past = "created_at - interval '1 minute'"
    await scene.sql(f"UPDATE codes SET expires_at = {past} {_OF_THE_CODE}", made.code_id)  # noqa: S608
    return await _redeem(scene, made.code)


async def _early(scene: Scene) -> object:
    later = Timestamp()
    later.GetCurrentTime()
    later.seconds += 3_600
    return await _redeem(scene, (await _issue(scene, not_before=later)).code)


async def _used_up(scene: Scene) -> object:
    made = await _issue(scene)
    await _redeem(scene, made.code)
    return await _redeem(scene, made.code)


async def _revoked(scene: Scene) -> object:
    made = await _issue(scene)
    request = pb.RevokeCodeRequest(code_id=made.code_id)
    await scene.call(await scene.app(), "codes", "RevokeCode", request)
    return await _redeem(scene, made.code)


async def _guessed(scene: Scene) -> object:
    recipient = secrets.token_hex(8)
    for _ in range(RECIPIENT_LIMIT):
        try:
            await _redeem(scene, "000000", recipient=recipient)
        except grpc.aio.AioRpcError as error:
            if reason_of(error) != "CODE_UNKNOWN":
                raise
    return None


async def _other_redemption(scene: Scene) -> object:
    used = secrets.token_hex(8)
    await _redeem(scene, (await _issue(scene)).code, request_id=used)
    return await _redeem(scene, (await _issue(scene)).code, request_id=used)


def _naming_nothing(method: str, request: Any) -> Cause:
    async def cause(scene: Scene) -> object:
        return await scene.call(await scene.app(), "codes", method, request)

    return cause


async def _rotate_twice(scene: Scene) -> object:
    request = keys.RotateKeyRequest(purpose=types.KEY_PURPOSE_SIGNING)
    await scene.call(ADMIN, "keys", "RotateKey", request)
    return await scene.call(ADMIN, "keys", "RotateKey", request)


async def _no_key(scene: Scene) -> object:
    request = keys.CompromiseKeyRequest(kid=NO_KEY)
    return await scene.call(ADMIN, "keys", "CompromiseKey", request)


CAUSES: dict[tuple[str, str], Cause] = {
    (ISSUE, "RATE_LIMITED"): _too_many,
    (ISSUE, "REQUEST_ID_USED"): _other_wish,
    (ISSUE, "CODE_REVOKED"): _pepper_gone,
    (REDEEM, "CODE_UNKNOWN"): _no_code,
    (REDEEM, "CODE_EXPIRED"): _expired,
    (REDEEM, "CODE_NOT_YET_VALID"): _early,
    (REDEEM, "CODE_USED_UP"): _used_up,
    (REDEEM, "CODE_REVOKED"): _revoked,
    (REDEEM, "ACCOUNT_LOCKED"): _guessed,
    (REDEEM, "REQUEST_ID_USED"): _other_redemption,
    ("CodeService.RevokeCode", "CODE_UNKNOWN"): _naming_nothing(
        "RevokeCode", pb.RevokeCodeRequest(code_id=NO_ID)
    ),
    ("CodeService.GetCode", "CODE_UNKNOWN"): _naming_nothing(
        "GetCode", pb.GetCodeRequest(code_id=NO_ID)
    ),
    ("KeyService.RotateKey", "KEY_STATE"): _rotate_twice,
    ("KeyService.CompromiseKey", "KEY_NOT_FOUND"): _no_key,
}
