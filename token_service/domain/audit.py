"""What the audit log says of one change."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One row of the audit log: who did what on what, with which outcome. Never a secret."""

    at: datetime
    actor: str
    action: str
    outcome: str
    target: str = ""
    subject: str = ""
    request_id: str = ""
    address: str = ""
    details: str = ""
