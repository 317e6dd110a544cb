"""Rows of the cascades table: what a revocation leaves to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self
from uuid import UUID, uuid4

from asyncpg import Record

from token_service.adapters.postgres.trust.log import NewEntry
from token_service.domain.audit import AuditEvent
from token_service.domain.kinds import RevocationReason, TrustEntryKind
from token_service.domain.trust.revocation import Revocation


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """What was revoked, whose descendants are to follow: but for `spared` and what is below it, and
    after a logout the browsers alone. `audit` is the revocation's own event."""

    cascade_id: UUID
    kind: TrustEntryKind
    id: str
    device_id: str
    reason: RevocationReason
    below_rev: int
    spared: UUID | None
    audit: AuditEvent

    @classmethod
    def of(
        cls,
        entry: NewEntry,
        revision: int,
        audit: AuditEvent,
        spared: UUID | None = None,
        *,
        cascade_id: UUID | None = None,
    ) -> Self:
        """That of an entry, which has this revision or was made by an earlier one."""
        return cls(
            cascade_id=cascade_id or uuid4(),
            kind=entry.kind,
            id=entry.id,
            device_id=entry.device_id,
            reason=entry.reason,
            below_rev=revision,
            spared=spared,
            audit=audit,
        )

    def revocation_of(self, session_id: UUID, now: datetime) -> Revocation:
        """That of a descendant."""
        return Revocation(
            kind=TrustEntryKind.SESSION,
            id=str(session_id),
            reason=self.reason,
            audit=self._event_of(session_id, now),
        )

    def _event_of(self, session_id: UUID, now: datetime) -> AuditEvent:
        top = self.audit
        reason, kind = self.reason.name.lower(), self.kind.name.lower()
        return AuditEvent(
            at=now,
            actor=top.actor,
            action="session.revoke",
            outcome=top.outcome,
            target=str(session_id),
            subject=top.subject,
            request_id=top.request_id,
            address=top.address,
            details=f"reason={reason} below {kind} {self.id}",
        )


def columns_of(cascades: Sequence[Cascade], *, always: Sequence[bool]) -> tuple[list[object], ...]:
    """Their columns for the statement that settles: `always` says which are begun in any case."""
    audits = [one.audit for one in cascades]
    return (
        [one.cascade_id for one in cascades],
        [one.kind for one in cascades],
        [one.id for one in cascades],
        [one.device_id for one in cascades],
        [one.reason for one in cascades],
        [one.spared for one in cascades],
        list(always),
        [audit.actor for audit in audits],
        [audit.subject for audit in audits],
        [audit.outcome for audit in audits],
        [audit.request_id for audit in audits],
        [audit.address for audit in audits],
    )


def args_of(cascade: Cascade, now: datetime) -> tuple[object, ...]:
    """The parameters of the statement that begins one."""
    audit = cascade.audit
    return (
        cascade.cascade_id,
        cascade.kind,
        cascade.id,
        cascade.device_id,
        cascade.reason,
        cascade.below_rev,
        cascade.spared,
        audit.actor,
        audit.subject,
        audit.outcome,
        audit.request_id,
        audit.address,
        now,
    )


def cascade_from_row(row: Record, now: datetime) -> Cascade:
    """A cascade of a row, to go on with at `now`."""
    audit = AuditEvent(
        at=now,
        actor=row["actor"],
        action="",
        outcome=row["outcome"],
        subject=row["subject"],
        request_id=row["request_id"],
        address=row["address"],
    )
    return Cascade(
        cascade_id=row["cascade_id"],
        kind=TrustEntryKind(row["kind"]),
        id=row["id"],
        device_id=row["device_id"],
        reason=RevocationReason(row["reason"]),
        below_rev=row["below_rev"],
        spared=row["spared"],
        audit=audit,
    )
