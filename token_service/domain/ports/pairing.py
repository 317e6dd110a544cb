"""Pairings: the stores, the secrets, and who is woken when one moves."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from token_service.domain.audit import AuditEvent
from token_service.domain.kinds import PairingEndReason, PairingState
from token_service.domain.pairing.decision import Login, Pairing, Side
from token_service.domain.ports.sessions import Inserted
from token_service.domain.sessions.session import Session, SessionView


@dataclass(frozen=True, slots=True)
class CodeTombstone:
    """The hash of a code that was shown, kept until its time is over."""

    code_hash: bytes = field(repr=False)
    dies_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingMove:
    """One step's write: repeats what was decided on and changes nothing else."""

    pairing_id: UUID
    from_state: PairingState
    from_wrong_numbers: int
    state: PairingState
    wrong_numbers: int
    ends_at: datetime
    at: datetime
    end_reason: PairingEndReason = PairingEndReason.UNSPECIFIED
    login: Login | None = None


@dataclass(frozen=True, slots=True)
class CollectGuard:
    """What must still hold, besides the approving session's being live, in the snapshot in which
    the new session is written."""

    config_version: int
    user_version: int
    attempt_bucket: bytes


class PairingStore(Protocol):
    """Pairings in Postgres, from the scan (or the end before it) on. Every change writes its audit
    row in the same statement, and wakes the watchers on all nodes."""

    async def get(self, pairing_id: UUID) -> Pairing | None: ...

    async def find_by_code(self, code_hashes: Sequence[bytes], now: datetime) -> Pairing | None:
        """The pairing with a tombstone of the code."""
        ...

    async def insert(
        self, pairing: Pairing, codes: Sequence[CodeTombstone], audit: AuditEvent
    ) -> bool:
        """False when it is there already: somebody else was first."""
        ...

    async def move(self, change: PairingMove, audit: AuditEvent) -> bool:
        """False: it is not any more what was decided on."""
        ...

    async def collect(
        self, child: Session, guard: CollectGuard, audit: AuditEvent
    ) -> Inserted | None:
        """APPROVED → COMPLETED and the new session, both or neither. None: the pairing, the
        approving session or the guard is not what was decided on."""
        ...

    async def approver(self, session_id: UUID) -> tuple[SessionView, str] | None:
        """The approving session with all that decides over it, and its user's name (empty for
        none), in one snapshot."""
        ...

    async def is_locked(self, attempt_bucket: bytes, now: datetime) -> bool:
        """Whether a bucket of failed logins is locked."""
        ...

    async def child(self, pairing_id: UUID) -> SessionView | None:
        """The session that came of a pairing with all that decides over it."""
        ...


class PendingPairings(Protocol):
    """Pairings that nobody scanned yet, in Redis, which may lose them. Raises STORE_UNAVAILABLE
    when it does not answer."""

    async def put(self, pairing: Pairing) -> None:
        """Keep it until its time is over."""
        ...

    async def get(self, pairing_id: UUID) -> Pairing | None: ...

    async def find_by_code(
        self, tag: str, code_hashes: Sequence[bytes], now: datetime
    ) -> Pairing | None:
        """The pairing that shows a code with one of these hashes at `now`."""
        ...


class PairingSecrets(Protocol):
    """The codes, secrets and check numbers of pairings, all derived under a pepper."""

    def watch_secret(self, pairing_id: UUID) -> tuple[str, bytes, str]:
        """A new one: (secret, hash, pepper id)."""
        ...

    def scan_secret(self, pairing_id: UUID, scan_id: bytes, pepper_id: str) -> tuple[str, bytes]:
        """(secret, hash), the same for the same scan. Raises PAIRING_NOT_FOUND when the pepper is
        not known any more."""
        ...

    def matches(self, pairing: Pairing, side: Side, secret: str) -> bool:
        """Whether `secret` is that side's, in constant time; False for anything malformed."""
        ...

    def code(self, pairing: Pairing, watch_secret: str, number: int) -> str:
        """The canonical code, which only who has the watch secret can be shown."""
        ...

    def code_hash(self, code: str, pepper_id: str) -> bytes: ...

    def code_hashes(self, code: str) -> tuple[bytes, ...]:
        """Under each pepper that a living pairing may have been started with."""
        ...

    def check_number(self, pairing: Pairing) -> str:
        """Two digits, the same for the same scan."""
        ...


class PairingWatcher(Protocol):
    """Told when its pairing moves."""

    async def wait(self, within: float) -> None:
        """Return when it moved since the last call, may have moved unnoticed, or after `within`
        seconds."""
        ...


class PairingWakeups(Protocol):
    """Tells watchers on this node of what happens on any node."""

    def watch(self, pairing_id: UUID) -> AbstractContextManager[PairingWatcher]: ...
