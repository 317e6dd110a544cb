"""One-time codes: coupons, invitations, verification codes.

::

    issued = await client.issue(
        purpose="signup-email", kind=CodeKind.VERIFICATION, recipient=address
    )
    send(address, issued.code)
    ...
    redeemed = await client.redeem(purpose="signup-email", code=typed, recipient=address)

No repr shows a code or its payload.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

from tokenservice import _messages as messages
from tokenservice._sync.face import SyncFace, waiting
from tokenservice._times import moment_of
from tokenservice._transport import calls
from tokenservice._transport.calls import Effort
from tokenservice._transport.service_client import ServiceClient, random_request_id
from tokenservice.v1 import code_service_pb2 as pb

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from tokenservice._sync.connection import SyncConnection


class CodeKind(IntEnum):
    """What a one-time code is for."""

    UNSPECIFIED = 0
    COUPON = 1
    """Whoever has it may use it, as often as it says, while it says."""
    INVITATION = 2
    """Lets somebody join; its payload says what."""
    VERIFICATION = 3
    """Shows that a recipient got it: a few digits, single use, few attempts."""


@dataclass(frozen=True, slots=True)
class IssuedCode:
    """A new code; it is told this once."""

    code_id: str
    code: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RedeemedCode:
    """What redeeming a code brought. ``replayed``: a retry got the answer that it repeated."""

    code_id: str
    payload: bytes = field(repr=False)
    uses_left: int
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRecord:
    """What is known of a code, without the code itself and its payload."""

    code_id: str
    purpose: str
    kind: CodeKind
    recipient: str
    subject: str
    max_uses: int
    uses: int
    created_at: datetime
    not_before: datetime
    expires_at: datetime
    revoked_at: datetime | None
    last_redeemed_at: datetime | None


class CodeClient(ServiceClient):
    """The calls of CodeService. ``timeout`` is for all attempts together.

    ``issue`` and ``redeem`` are retried with one request id: the one given, or a random one. To
    try again after Unreachable give the same id, which costs neither a code nor a use. Everything
    raises TokenServiceError. Tests give clock (monotonic seconds), randomness ([0, 1)) and sleep.
    """

    async def issue(
        self,
        *,
        purpose: str,
        kind: CodeKind,
        recipient: str = "",
        subject: str = "",
        max_uses: int = 1,
        ttl: timedelta | None = None,
        not_before: datetime | None = None,
        length: int = 0,
        alphabet: str = "",
        payload: bytes = b"",
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> IssuedCode:
        """Make a code. What is left out is as the service has it for the kind."""
        with messages.sendable():
            request = pb.IssueCodeRequest(
                purpose=purpose,
                kind=messages.number(kind),
                recipient=recipient,
                subject=subject,
                max_uses=max_uses,
                ttl=messages.duration(ttl, "ttl"),
                not_before=messages.timestamp(not_before, "not_before"),
                length=length,
                alphabet=alphabet,
                payload=payload,
                request_id=random_request_id() if request_id is None else request_id,
            )
        reply = await self._calls.call(
            lambda stubs: stubs.codes.IssueCode, request, _effort(request.request_id), timeout
        )
        return IssuedCode(reply.code_id, reply.code, moment_of(reply.expires_at))

    async def redeem(
        self,
        *,
        purpose: str,
        code: str,
        recipient: str = "",
        redeemer: str = "",
        request_id: str | None = None,
        timeout: timedelta | None = None,
    ) -> RedeemedCode:
        """Use a code once. Reasons include CODE_UNKNOWN and, after too many wrong ones,
        ACCOUNT_LOCKED (``retry_after`` says for how long).

        A wrong code counts as one attempt for each time that it is sent. To have it sent once
        give ``request_id=""``; a lost reply may then cost a use.
        """
        with messages.sendable():
            request = pb.RedeemCodeRequest(
                purpose=purpose,
                code=code,
                recipient=recipient,
                redeemer=redeemer,
                request_id=random_request_id() if request_id is None else request_id,
            )
        reply = await self._calls.call(
            lambda stubs: stubs.codes.RedeemCode, request, _effort(request.request_id), timeout
        )
        return RedeemedCode(reply.code_id, reply.payload, reply.uses_left, reply.replayed)

    async def revoke(
        self, code_id: str, *, note: str = "", timeout: timedelta | None = None
    ) -> CodeRecord:
        """End a code; one that is over already is no error."""
        with messages.sendable():
            request = pb.RevokeCodeRequest(code_id=code_id, note=note)
        reply = await self._calls.call(
            lambda stubs: stubs.codes.RevokeCode, request, calls.CHANGE, timeout
        )
        return _record(reply.record)

    async def get(self, code_id: str, *, timeout: timedelta | None = None) -> CodeRecord:
        """Fetch what is known of a code."""
        with messages.sendable():
            request = pb.GetCodeRequest(code_id=code_id)
        reply = await self._calls.call(
            lambda stubs: stubs.codes.GetCode, request, calls.READ, timeout
        )
        return _record(reply.record)


class SyncCodeClient(SyncFace[CodeClient]):
    """The methods of :class:`CodeClient`, each waiting for its result; any thread may call."""

    def __init__(self, connection: SyncConnection) -> None:
        super().__init__(CodeClient(connection.asynchronous), connection.loop)

    issue = waiting(CodeClient.issue)
    redeem = waiting(CodeClient.redeem)
    revoke = waiting(CodeClient.revoke)
    get = waiting(CodeClient.get)


def _effort(request_id: str) -> Effort:
    """Without an id, a repeated request is another one."""
    return calls.CHANGE if request_id else Effort(calls.CHANGE.timeout)


def _record(message: pb.CodeRecord) -> CodeRecord:
    return CodeRecord(
        code_id=message.code_id,
        purpose=message.purpose,
        kind=messages.member(CodeKind, message.kind),
        recipient=message.recipient,
        subject=message.subject,
        max_uses=message.max_uses,
        uses=message.uses,
        created_at=moment_of(message.created_at),
        not_before=moment_of(message.not_before),
        expires_at=moment_of(message.expires_at),
        revoked_at=moment_of(message.revoked_at) if message.HasField("revoked_at") else None,
        last_redeemed_at=(
            moment_of(message.last_redeemed_at) if message.HasField("last_redeemed_at") else None
        ),
    )
