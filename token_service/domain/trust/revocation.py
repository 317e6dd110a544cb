"""What can be revoked, and what a revocation reports back."""

from dataclasses import dataclass
from uuid import UUID

from token_service.domain.audit import AuditEvent
from token_service.domain.kinds import RevocationReason, TrustEffect, TrustEntryKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """One entry for the trust log and the rows that it changes.

    `id` by kind: TOKEN jti, SESSION session id, SUBJECT / SUBJECT_DEVICE subject, CLIENT client
    id, KEY kid, EVERYTHING empty. REISSUE makes access tokens read EXPIRED and leaves sessions.
    What sessions let in by pairing goes with them: by LOGOUT the browsers, else everything.
    """

    kind: TrustEntryKind
    id: str
    reason: RevocationReason
    audit: AuditEvent
    device_id: str = ""
    effect: TrustEffect = TrustEffect.REVOKE
    spared: UUID | None = None
    """A session that this does not reach by its being a descendant."""


@dataclass(frozen=True, slots=True)
class Revoked:
    """`revision` from which the revocation holds; how many live sessions it ended (counted for
    SESSION, SUBJECT and SUBJECT_DEVICE with what is below them, else 0)."""

    revision: int
    sessions: int = 0
