"""One-time codes: how they are made and hashed, and where they are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from token_service.domain.audit import AuditEvent
from token_service.domain.codes.decision import Code, Presented, RedeemView, Redemption
from token_service.domain.kinds import CodeKind

NOTHING_SEEN = RedeemView()


@dataclass(frozen=True, slots=True)
class RedeemAnswer:
    """What came of an attempt: `redeemed`; or a wrong code was `counted`; or nothing was written,
    and `view` is what stood in the way, or what changed since it was read."""

    redeemed: Redemption | None = None
    counted: bool = False
    view: RedeemView = NOTHING_SEEN


class CodeSecrets(Protocol):
    """Makes codes and their keyed hashes. `text` and `recipient` are in their canonical forms."""

    def active_pepper(self) -> str: ...

    def draw(
        self, client_id: str, code_id: UUID, length: int, alphabet: str, pepper_id: str
    ) -> str | None:
        """The code with this id: the same each time, and known to nobody without the pepper. None
        when the pepper is not known (any more)."""
        ...

    def hash(
        self,
        kind: CodeKind,
        client_id: str,
        *,
        purpose: str,
        recipient: str,
        text: str,
        pepper_id: str,
    ) -> bytes: ...

    def hashes(self, client_id: str, purpose: str, recipient: str, text: str) -> tuple[bytes, ...]:
        """The hashes that `text` may be kept under: of each kind, under each pepper."""
        ...


class CodeStore(Protocol):
    """Codes and their redemptions in Postgres."""

    async def insert(self, code: Code, audit: AuditEvent) -> bool:
        """Insert the code with its audit row in one statement; it replaces the verification code
        of the same client, purpose and recipient, and takes over its counted failures. False:
        its request, its place or its hash was taken meanwhile."""
        ...

    async def by_request(self, client_id: str, request_id: str) -> Code | None:
        """The code that this request of the client made."""
        ...

    async def redeem(
        self, presented: Presented, buckets: Sequence[bytes], now: datetime, audit: AuditEvent
    ) -> RedeemAnswer:
        """`decide_redeem` in one statement and one transaction: a use with its audit row, or a
        counted wrong guess, each only while the row locked for it still allows it. Nothing while
        one of `buckets` is locked. The audit row's target, subject and details are filled in."""
        ...

    async def get(self, client_id: str, code_id: UUID) -> Code | None: ...

    async def revoke(self, client_id: str, code_id: UUID, audit: AuditEvent) -> Code | None:
        """End a code, with its audit row; None: no such code, or over before."""
        ...
