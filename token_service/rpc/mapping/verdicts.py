"""Answers of Validate, encoded: what repeats from call to call is encoded once."""

from google.protobuf.duration_pb2 import Duration

from token_service.rpc.mapping import checks
from token_service.usecases.tokens.validate import Answer
from tokenservice.core import Facts, Verdict, challenge
from tokenservice.core.bounded_cache import put_bounded
from tokenservice.v1 import token_service_pb2 as pb
from tokenservice.v1 import types_pb2 as types

MAX_HINTS = 4096
_PRINCIPAL_TAG = bytes([pb.ValidateResponse.PRINCIPAL_FIELD_NUMBER << 3 | 2])
_WITH_PRINCIPAL = frozenset({Verdict.ACTIVE, Verdict.INSUFFICIENT_SCOPE, Verdict.STEP_UP_REQUIRED})
_ACTIVE = pb.ValidateResponse(verdict=types.VERDICT_ACTIVE, http_status=200).SerializeToString()


class VerdictEncoder:
    """Makes ValidateResponse messages as bytes.

    Fields of a message may be concatenated in any order (Protocol Buffers encoding), so the
    principal is encoded once per token and the cache hint once per second and revision.
    """

    def __init__(self) -> None:
        self._hints: dict[tuple[int, int], bytes] = {}

    def encode(self, answer: Answer) -> bytes:
        """The response for an answer."""
        verdict, requirement, identified, revision, now = answer
        if verdict is Verdict.ACTIVE:
            head = _ACTIVE
        else:
            status, header = challenge(verdict, requirement)
            head = pb.ValidateResponse(
                verdict=checks.wire(verdict), http_status=status, www_authenticate=header
            ).SerializeToString()
        if identified is None or verdict not in _WITH_PRINCIPAL:
            return head + self._hint(0, revision)
        rendered = identified.rendered
        if rendered is None:
            rendered = identified.rendered = _principal(identified.facts)
        return head + rendered + self._hint(int(identified.facts.expires_at - now), revision)

    def _hint(self, seconds: int, revision: int) -> bytes:
        found = self._hints.get((seconds, revision))
        if found is None:
            hint = types.CacheHint(max_age=Duration(seconds=seconds), revision=revision)
            found = pb.ValidateResponse(cache=hint).SerializeToString()
            put_bounded(self._hints, (seconds, revision), found, MAX_HINTS)
        return found


def _principal(facts: Facts) -> bytes:
    principal = types.Principal(
        subject=facts.subject,
        client_id=facts.client_id,
        session_id=facts.session_id,
        device_id=facts.device_id,
        kind=checks.wire(facts.kind),
        scopes=sorted(facts.scopes),
        roles=facts.roles,
        audience=facts.audience,
        acr=facts.acr,
        amr=facts.amr,
        token_id=facts.token_id,
    )
    # Set in place: a message made apart and copied costs three times as much.
    principal.issued_at.seconds = facts.issued_at
    principal.expires_at.seconds = facts.expires_at
    principal.auth_time.seconds = facts.auth_time
    return embedded(_PRINCIPAL_TAG, principal.SerializeToString())


def embedded(tag: bytes, message: bytes) -> bytes:
    """An encoded message as a field of another (Protocol Buffers encoding, length-delimited)."""
    size = len(message)
    head = bytearray(tag)
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head) + message
