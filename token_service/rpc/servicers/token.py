"""TokenService: issue, exchange, reauthenticate, validate, revoke."""

from token_service.domain.caller import Caller
from token_service.domain.errors import Reason, TokenServiceError, invalid_field
from token_service.domain.ports import Clock, Trust
from token_service.rpc.mapping import tokens as mapping
from token_service.rpc.mapping.verdicts import VerdictEncoder, embedded
from token_service.usecases.exchange import Exchange
from token_service.usecases.identity_cache import Identified
from token_service.usecases.issue import Issue
from token_service.usecases.reauthenticate import Reauthenticate
from token_service.usecases.revoke import Revoke
from token_service.usecases.validate import Validate
from tokenservice.core import Requirement, Verdict
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
        trust: Trust,
        clock: Clock,
    ) -> None:
        self._issue = issue
        self._exchange = exchange
        self._reauthenticate = reauthenticate
        self._validate = validate
        self._revoke = revoke
        self._trust = trust
        self._clock = clock
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
        """Answer for one token. The pipeline has made sure that the trust view is fresh."""
        requirement = self._requirement(caller, request, "")
        if request.min_revision:
            await self._trust.require_fresh(request.min_revision)
        identified = self._validate.identify_at_once(request.token)
        if identified is None:
            identified = await self._validate.identify(request.token)
            await self._trust.require_fresh()  # time has passed
        return self._answer(requirement, identified)

    async def batch_validate(self, caller: Caller, request: pb.BatchValidateRequest) -> bytes:
        """Answer for many tokens, in order."""
        requests = request.requests
        if not 1 <= len(requests) <= MAX_QUESTIONS:
            raise invalid_field("requests", f"must have 1 to {MAX_QUESTIONS} entries")
        requirements = []
        for index, item in enumerate(requests):
            requirements.append(self._requirement(caller, item, f"requests[{index}]."))
        found = await self._validate.identify_many([item.token for item in requests])
        await self._trust.require_fresh(max(item.min_revision for item in requests))
        answers = map(self._answer, requirements, found)
        return b"".join(embedded(_BATCH_ITEM_TAG, answer) for answer in answers)

    def _requirement(self, caller: Caller, request: pb.ValidateRequest, prefix: str) -> Requirement:
        """Check and map what is demanded, for a caller that may; what was checked before is
        remembered."""
        plain = not (
            request.required_acr or request.confirmation or request.HasField("max_auth_age")
        )
        key = (request.audience, *request.required_scopes)
        found = self._requirements.get(key) if plain else None
        requirement = found or mapping.requirement(request, prefix)
        _require_protected(caller, requirement, prefix)
        if plain and found is None:
            if len(self._requirements) >= MAX_REQUIREMENTS:
                self._requirements.clear()
            self._requirements[key] = requirement
        return requirement

    def _answer(self, requirement: Requirement, identified: Identified | Verdict) -> bytes:
        state, now = self._trust.state, self._clock.unix()
        if isinstance(identified, Verdict):
            return self._encoder.encode(identified, requirement, None, state.revision, now)
        verdict = self._validate.decide(identified.facts, requirement)
        return self._encoder.encode(verdict, requirement, identified, state.revision, now)


def _require_protected(caller: Caller, requirement: Requirement, prefix: str) -> None:
    if requirement.audience not in caller.policy.protects_audiences:
        raise TokenServiceError(
            Reason.AUDIENCE_NOT_ALLOWED,
            "the caller does not protect this audience",
            field=f"{prefix}audience",
        )
