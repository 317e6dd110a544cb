"""TokenService: issue, exchange, reauthenticate, validate, revoke."""

from token_service.domain.clients.caller import Caller
from token_service.domain.errors import invalid_field
from token_service.rpc.mapping import tokens as mapping
from token_service.rpc.mapping.verdicts import VerdictEncoder, embedded
from token_service.usecases.login.issue import Issue
from token_service.usecases.login.reauthenticate import Reauthenticate
from token_service.usecases.sessions.exchange import Exchange
from token_service.usecases.tokens.validate import Question, Validate
from token_service.usecases.trust.revoke import Revoke
from tokenservice.core import Requirement
from tokenservice.core.bounded_cache import put_bounded
from tokenservice.core.limits import MAX_QUESTIONS
from tokenservice.v1 import token_service_pb2 as pb

MAX_REQUIREMENTS = 4_096

_BATCH_ITEM_TAG = b"\x0a"
"""Field 1, length-delimited: `responses` of BatchValidateResponse."""


class TokenServicer:
    """Maps requests, calls the use cases, maps outcomes."""

    def __init__(
        self,
        issue: Issue,
        exchange: Exchange,
        reauthenticate: Reauthenticate,
        validate: Validate,
        revoke: Revoke,
    ) -> None:
        self._issue = issue
        self._exchange = exchange
        self._reauthenticate = reauthenticate
        self._validate = validate
        self._revoke = revoke
        self._encoder = VerdictEncoder()
        self._requirements: dict[tuple[str, ...], Requirement] = {}

    async def issue(self, caller: Caller, request: pb.IssueRequest) -> pb.IssueResponse:
        """Open a session."""
        issued = await self._issue(caller, mapping.issue_request(request))
        return pb.IssueResponse(tokens=mapping.token_set(issued))

    async def exchange(self, caller: Caller, request: pb.ExchangeRequest) -> pb.ExchangeResponse:
        """Exchange a session token."""
        outcome = await self._exchange(caller, mapping.exchange_request(request))
        return mapping.exchange_response(outcome)

    async def reauthenticate(
        self, caller: Caller, request: pb.ReauthenticateRequest
    ) -> pb.ReauthenticateResponse:
        """Step a session up."""
        outcome = await self._reauthenticate(caller, mapping.reauthenticate_request(request))
        return pb.ReauthenticateResponse(
            tokens=mapping.token_set(outcome.tokens), replayed=outcome.replayed
        )

    async def revoke(self, caller: Caller, request: pb.RevokeRequest) -> pb.RevokeResponse:
        """Revoke a target."""
        revoked = await self._revoke(caller, mapping.revoke_request(request))
        return pb.RevokeResponse(revision=revoked.revision, revoked_sessions=revoked.sessions)

    async def validate(self, caller: Caller, request: pb.ValidateRequest) -> bytes:
        """Answer for one token."""
        requirement = self._requirement(request)
        answer = await self._validate(caller, request.token, requirement, request.min_revision)
        return self._encoder.encode(answer)

    async def batch_validate(self, caller: Caller, request: pb.BatchValidateRequest) -> bytes:
        """Answer for many tokens, in order."""
        requests = request.requests
        if not 1 <= len(requests) <= MAX_QUESTIONS:
            raise invalid_field("requests", f"must have 1 to {MAX_QUESTIONS} entries")
        questions = [
            Question(item.token, self._requirement(item, f"requests[{index}]."), item.min_revision)
            for index, item in enumerate(requests)
        ]
        answers = await self._validate.many(caller, questions)
        encode = self._encoder.encode
        return b"".join(embedded(_BATCH_ITEM_TAG, encode(answer)) for answer in answers)

    def _requirement(self, request: pb.ValidateRequest, prefix: str = "") -> Requirement:
        """Check and map what is demanded; what was checked before is remembered."""
        if request.required_acr or request.confirmation or request.HasField("max_auth_age"):
            return mapping.requirement(request, prefix)
        key = (request.audience, *request.required_scopes)
        found = self._requirements.get(key)
        if found is None:
            found = mapping.requirement(request, prefix)
            put_bounded(self._requirements, key, found, MAX_REQUIREMENTS)
        return found
