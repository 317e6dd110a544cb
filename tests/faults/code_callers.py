"""Issuing and redeeming codes as a client of one server."""

from typing import Any

from tests.support.api import Api
from tokenservice.v1 import code_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

PURPOSE = "signup"
COUPON = types.CODE_KIND_COUPON
INVITATION = types.CODE_KIND_INVITATION
VERIFICATION = types.CODE_KIND_VERIFICATION


async def issue(api: Api, **fields: Any) -> pb.IssueCodeResponse:
    """A coupon, unless `fields` say something else."""
    request = pb.IssueCodeRequest(**{"purpose": PURPOSE, "kind": COUPON, **fields})
    return await api.codes.IssueCode(request, metadata=api.metadata)


async def redeem(api: Api, code: str, **fields: Any) -> pb.RedeemCodeResponse:
    """Present a code."""
    request = pb.RedeemCodeRequest(**{"purpose": PURPOSE, "code": code, **fields})
    return await api.codes.RedeemCode(request, metadata=api.metadata)


async def record(api: Api, code_id: str) -> pb.CodeRecord:
    """What is known of a code."""
    request = pb.GetCodeRequest(code_id=code_id)
    return (await api.codes.GetCode(request, metadata=api.metadata)).record


def wrong(code: str, by: int = 1) -> str:
    """Another verification code."""
    return f"{(int(code) + by) % 10 ** len(code):0{len(code)}}"
