"""Questions to the server and its answers, in the validator's terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from google.protobuf.duration_pb2 import Duration

from tokenservice import _messages as messages
from tokenservice._decisions.decision import Decision, unanswered
from tokenservice.core import Verdict
from tokenservice.v1 import token_service_pb2 as pb

if TYPE_CHECKING:
    from tokenservice.core import Requirement

_SUFFICIENT: Final = frozenset(
    {Verdict.ACTIVE, Verdict.INSUFFICIENT_SCOPE, Verdict.STEP_UP_REQUIRED}
)


def question(token: str, requirement: Requirement, min_revision: int) -> pb.ValidateRequest:
    """Ask about one token. Raises ValueError for a revision that is out of range."""
    age = requirement.max_auth_age
    return pb.ValidateRequest(
        token=token,
        audience=requirement.audience,
        required_scopes=sorted(requirement.scopes),
        min_revision=min_revision,
        max_auth_age=None if age is None else _duration(age),
        required_acr=requirement.acr,
        confirmation=requirement.confirmation,
    )


def decision_of(answer: pb.ValidateResponse, min_revision: int) -> Decision:
    """Read an answer; one that makes no sense, or is older than asked for, is no answer."""
    decision = messages.decision(answer)
    if decision.revision < min_revision:
        return unanswered("stale")
    told = decision.principal is not None
    if told is not (decision.verdict in _SUFFICIENT):
        return unanswered("unintelligible")
    if (decision.http_status == 200) is not decision.active:
        return unanswered("unintelligible")
    return decision


def max_age_of(answer: pb.ValidateResponse) -> float:
    """Seconds for which what the answer says of the token may be kept."""
    age = answer.cache.max_age
    return age.seconds + age.nanos * 1e-9


def _duration(seconds: float) -> Duration:
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1_000_000_000))
