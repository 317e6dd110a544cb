"""Causes of the errors of Validate and BatchValidate."""

from typing import Any

from tests.integration.error_causes.scene import GATEWAY, Cause, Scene
from tokenservice.v1 import token_service_pb2 as pb

FAR_AHEAD = 10**12


def _validating(**request: Any) -> Cause:
    async def cause(scene: Scene) -> object:
        return await scene.api(GATEWAY).validate("a token", **request)

    return cause


def _validating_many(**request: Any) -> Cause:
    async def cause(scene: Scene) -> object:
        one = pb.ValidateRequest(token="a token", **{"audience": "orders", **request})
        batch = pb.BatchValidateRequest(requests=[one])
        return await scene.call(GATEWAY, "tokens", "BatchValidate", batch)

    return cause


CAUSES: dict[tuple[str, str], Cause] = {
    ("TokenService.Validate", "AUDIENCE_NOT_ALLOWED"): _validating(audience="payroll"),
    ("TokenService.Validate", "REVISION_UNKNOWN"): _validating(min_revision=FAR_AHEAD),
    ("TokenService.BatchValidate", "AUDIENCE_NOT_ALLOWED"): _validating_many(audience="payroll"),
    ("TokenService.BatchValidate", "REVISION_UNKNOWN"): _validating_many(min_revision=FAR_AHEAD),
}
