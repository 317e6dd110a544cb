"""CodeService: coupons, invitations and verification codes."""

from token_service.domain.clients.caller import Caller
from token_service.rpc.mapping import codes as mapping
from token_service.rpc.mapping.tokens import note, timestamp
from token_service.usecases.codes.issue import IssueCode
from token_service.usecases.codes.issued import CodeAdministration
from token_service.usecases.codes.redeem import RedeemCode
from tokenservice.v1 import code_service_pb2 as pb


class CodeServicer:
    """Maps requests, calls the use cases, maps outcomes."""

    def __init__(
        self, issue: IssueCode, redeem: RedeemCode, administration: CodeAdministration
    ) -> None:
        self._issue = issue
        self._redeem = redeem
        self._administration = administration

    async def issue_code(
        self, caller: Caller, request: pb.IssueCodeRequest
    ) -> pb.IssueCodeResponse:
        """Make a code."""
        issued = await self._issue(caller, mapping.wish(request))
        return pb.IssueCodeResponse(
            code_id=str(issued.code_id), code=issued.text, expires_at=timestamp(issued.expires_at)
        )

    async def redeem_code(
        self, caller: Caller, request: pb.RedeemCodeRequest
    ) -> pb.RedeemCodeResponse:
        """Use a code once."""
        redeemed = await self._redeem(caller, mapping.redeem_request(request))
        return mapping.redeem_response(redeemed)

    async def revoke_code(
        self, caller: Caller, request: pb.RevokeCodeRequest
    ) -> pb.RevokeCodeResponse:
        """End a code."""
        code_id = mapping.code_id(request.code_id)
        code = await self._administration.revoke(caller, code_id, note(request.note))
        return pb.RevokeCodeResponse(record=mapping.record(code))

    async def get_code(self, caller: Caller, request: pb.GetCodeRequest) -> pb.GetCodeResponse:
        """Look at a code."""
        code = await self._administration.get(caller, mapping.code_id(request.code_id))
        return pb.GetCodeResponse(record=mapping.record(code))
