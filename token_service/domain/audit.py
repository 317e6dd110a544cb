"""What the audit log says of one change."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique

UNKNOWN = "unknown"
"""Stands for a name that nobody has: people type passwords where names are due."""


@unique
class Actor(StrEnum):
    """Who acts besides clients. No client has such an id."""

    ANONYMOUS = "anonymous"
    BOOTSTRAP = "bootstrap"
    COMMAND_LINE = "command-line"
    DEMO = "demo"
    KEY_MAINTENANCE = "key-maintenance"
    TRUST_FOLLOWER = "trust-follower"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One row of the audit log: who did what on what, with which outcome. Never a secret.

    `actor` is the id of a client or an `Actor`.
    """

    at: datetime
    actor: str
    action: str
    outcome: str
    target: str = ""
    subject: str = ""
    request_id: str = ""
    address: str = ""
    details: str = ""
