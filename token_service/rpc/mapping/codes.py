"""CodeService messages to domain values and back."""

from datetime import timedelta
from uuid import UUID

from token_service.domain.codes.decision import Code, CodeWish
from token_service.domain.codes.text import (
    RULES,
    CodeRules,
    canonical_code,
    canonical_recipient,
    checked_spelling,
)
from token_service.domain.errors import invalid_field
from token_service.domain.kinds import CodeKind
from token_service.rpc.mapping import checks
from token_service.rpc.mapping.tokens import timestamp
from token_service.usecases.codes.redeem import Redeemed, RedeemRequest
from tokenservice.v1 import code_service_pb2 as pb

MAX_PURPOSE = 64
MAX_PAYLOAD = 4096
MAX_REQUEST_ID = 64
MAX_USES = 1_000_000_000
MIN_TTL = timedelta(seconds=1)


def wish(message: pb.IssueCodeRequest) -> CodeWish:
    """Check and map an IssueCode."""
    kind = checks.member(message.kind, "kind", CodeKind)
    single = kind is CodeKind.VERIFICATION
    recipient = canonical_recipient(message.recipient)
    if single and not recipient:
        raise invalid_field("recipient", "must be given for a verification code")
    if message.HasField("not_before") and single:
        raise invalid_field("not_before", "does not go with a verification code")
    length, alphabet = checked_spelling(kind, message.length, message.alphabet)
    if len(message.payload) > MAX_PAYLOAD:
        raise invalid_field("payload", f"must have at most {MAX_PAYLOAD} bytes")
    start = message.not_before if message.HasField("not_before") else None
    return CodeWish(
        kind=kind,
        purpose=checks.name(message.purpose, "purpose", longest=MAX_PURPOSE),
        recipient=recipient,
        subject=checks.text(message.subject, "subject"),
        max_uses=_max_uses(message.max_uses, 1 if single else MAX_USES),
        ttl=_ttl(message, RULES[kind]),
        not_before=None if start is None else checks.timestamp(start, "not_before"),
        length=length,
        alphabet=alphabet,
        payload=message.payload,
        request_id=request_id(message.request_id),
    )


def redeem_request(message: pb.RedeemCodeRequest) -> RedeemRequest:
    """Check and map a RedeemCode."""
    return RedeemRequest(
        purpose=checks.name(message.purpose, "purpose", longest=MAX_PURPOSE),
        code=canonical_code(message.code),
        recipient=canonical_recipient(message.recipient),
        redeemer=checks.text(message.redeemer, "redeemer"),
        request_id=request_id(message.request_id),
    )


def redeem_response(redeemed: Redeemed) -> pb.RedeemCodeResponse:
    """Map what a code brought."""
    redemption = redeemed.redemption
    return pb.RedeemCodeResponse(
        code_id=str(redemption.code_id),
        payload=redemption.payload,
        uses_left=redemption.uses_left,
        replayed=redeemed.replayed,
    )


def record(code: Code) -> pb.CodeRecord:
    """Map what is known of a code: neither itself nor its payload."""
    revoked, redeemed = code.revoked_at, code.last_redeemed_at
    return pb.CodeRecord(
        code_id=str(code.code_id),
        purpose=code.purpose,
        kind=checks.wire(code.kind),
        recipient=code.recipient,
        subject=code.subject,
        max_uses=code.max_uses,
        uses=code.uses,
        created_at=timestamp(code.created_at),
        not_before=timestamp(code.not_before),
        expires_at=timestamp(code.expires_at),
        revoked_at=timestamp(revoked) if revoked else None,
        last_redeemed_at=timestamp(redeemed) if redeemed else None,
    )


def code_id(value: str) -> UUID:
    """A code's public name."""
    return checks.uuid(value, "code_id")


def request_id(value: str) -> str:
    """A request's id, or nothing."""
    if not value:
        return ""
    checks.required(value, "request_id", at_most=MAX_REQUEST_ID)
    if not value.isascii():
        raise invalid_field("request_id", "must be printable ASCII")
    return value


def _max_uses(value: int, at_most: int) -> int:
    if value > at_most:
        raise invalid_field("max_uses", f"must be at most {at_most}")
    return value or 1


def _ttl(message: pb.IssueCodeRequest, rules: CodeRules) -> timedelta:
    if not message.HasField("ttl"):
        return rules.ttl
    ttl = checks.duration(message.ttl, "ttl")
    if not MIN_TTL <= ttl <= rules.max_ttl:
        raise invalid_field("ttl", f"must be 1 second to {rules.max_ttl}")
    return ttl
